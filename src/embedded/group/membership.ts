/**
 * Implements one member of a group: computes its target partitions, hands over the rest, and claims free ones. The file
 * is long because joining, claiming and handing over change the state of one member.
 */
import { randomHex } from '../../base/clock';
import { errorMessage } from '../../base/errors';
import { closable } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import type { Store } from '../../disk/lmdb';
import type { Member, Owner, Topic } from '../../ports/log';
import { kinds, partitionKey } from '../store/keys';
import type { Leased } from './lease';
import { decodeCommit } from '../store/commit-format';
import { EmbeddedOwnedPartition } from './owned-partition';
import type { Reader } from '../store/read';
import { GroupMembers, type MemberRow, type GroupMembersParts } from './group-members';
import { parseOwner, targetsOf, type OwnerRow } from './targets';
import type { Topics } from '../store/topics';
import type { Notifier } from '../store/notifier';

/** Interval of full looks when no doorbell rings. It grows with the size of the group, where a look costs more. */
const lookMs = 1000;
const lookMsPerMember = 10;
/** Least time between two enrollments of a member that was removed. */
const enrolMsMin = 1000;
/** Most former ids of a member. It never loses more while partitions of the first id are still unclaimed. */
const formerIdsMax = 8;

interface Ownership extends OwnerRow {
  readonly epoch: number;
}

export interface MembershipParts extends GroupMembersParts {
  readonly self: string;
  readonly log: Store;
  readonly notices: Notices;
  readonly topics: Topics;
  readonly notifier: Notifier;
  readonly reader: (topic: string, partition: number) => Reader;
  /** Makes other members of the group in this process look immediately. */
  readonly changed: (group: string) => void;
}

export class Membership implements Member, Leased {
  id: string;
  private readonly groupMembers: GroupMembers;
  private readonly mine = new Map<number, EmbeddedOwnedPartition>();
  /** Partitions whose revocation runs, including those lost meanwhile. None can be claimed again before it ends. */
  private readonly revocations = new Map<number, Promise<void>>();
  /** Entries whose messages wait in a partition and that this member does not serve. */
  private readonly misses = new Map<number, readonly string[]>();
  /** Ids under which this member lost all partitions. `staleId` is the one whose row still exists. */
  private formerIds: readonly string[] = [];
  private staleId: string | undefined;
  private leaving = false;
  private started = false;
  /** The row of this member is missing or out of date. */
  private toEnrol = true;
  private isEnrolled = false;
  private failure: unknown;
  private ended = false;
  private isLate = false;
  private enrolledMs = -Infinity;
  private lookedMs = -Infinity;
  private looking: Promise<void> | undefined;
  private again = false;
  private complained = '';
  private readonly closing = closable(() => this.leave());
  private readonly unwatch: () => void;

  constructor(
    private readonly parts: MembershipParts,
    readonly group: string,
    private readonly topic: Topic,
    private readonly owner: Owner,
    readonly sessionMs: number,
    private readonly serves: readonly string[],
  ) {
    this.id = this.newId();
    this.groupMembers = new GroupMembers(parts, group, topic.name);
    this.unwatch = parts.notifier.watch(topic.name);
  }

  private renew(): void {
    this.formerIds = [...this.formerIds, this.id].slice(-formerIdsMax);
    this.id = this.newId();
  }
  private newId(): string {
    return `${this.parts.self}:${randomHex(this.parts.random, 48)}`;
  }

  /** Resolves when other members can see this one and it has claimed the partitions that were free for it. */
  async start(): Promise<void> {
    await this.parts.lease.keep(this);
    this.started = true;
    await this.look();
    if (!this.isEnrolled) throw this.failure;
    // A process that was killed leaves its row, so a restarted one would wait for the next tick to take over from it.
    if (this.checkOthers()) await this.look();
  }

  private async enrol(): Promise<void> {
    const { self, leaseId, peers, clock } = this.parts;
    const { sessionMs, leaving } = this;
    this.toEnrol = false;
    this.enrolledMs = clock.mono();
    try {
      const row: MemberRow = {
        instance: self,
        address: peers.address,
        lease: leaseId,
        sessionMs,
        leaving,
        serves: this.serves,
        formerIds: this.formerIds,
        misses: Object.fromEntries(this.misses),
      };
      await this.groupMembers.set(this.id, row, this.staleId);
      this.staleId = undefined;
      this.isEnrolled = true;
    } catch (error) {
      this.toEnrol = true;
      throw error;
    }
    this.reportOthers();
  }

  private reportOthers(): void {
    this.groupMembers.ring();
    this.parts.changed(this.group);
  }

  /** Checks the liveness of some members. Starts a full look when one seems dead or the last look is too old. */
  ask(): void {
    if (this.ended || !this.started) return;
    const found = this.checkOthers();
    const everyMs = Math.max(lookMs, this.groupMembers.size * lookMsPerMember);
    if (found || this.parts.clock.mono() - this.lookedMs >= everyMs) void this.look();
  }

  private checkOthers(): boolean {
    try {
      return this.groupMembers.check();
    } catch (error) {
      this.complain(errorMessage(error));
      return false;
    }
  }

  /** Starts a look, or requests another one when a look is running. Never rejects. */
  look(): Promise<void> {
    if (this.ended || !this.started) return Promise.resolve();
    this.again = true;
    // A running look can request another look, so `looking` must be set before it starts.
    this.looking ??= Promise.resolve().then(() => this.lookUntilQuiet());
    return this.looking;
  }

  private async lookUntilQuiet(): Promise<void> {
    while (this.again && !this.ended) {
      this.again = false;
      try {
        await this.lookOnce();
        this.complained = '';
      } catch (error) {
        this.failure = error;
        this.complain(errorMessage(error));
      }
    }
    this.looking = undefined;
  }

  /** Reports each reason once; the next tick retries. */
  private complain(reason: string): void {
    if (this.complained === reason) return;
    this.complained = reason;
    const fields = { group: this.group, reason };
    const message = 'the membership of a group cannot be updated';
    this.parts.notices.emit({ type: 'log', level: 'error', message, fields });
  }

  private async lookOnce(): Promise<void> {
    this.lookedMs = this.parts.clock.mono();
    this.fence();
    if (this.isLate) await this.rejoin();
    if (this.toEnrol) await this.enrol();
    const members = await this.groupMembers.readLive();
    if (!members.has(this.id)) return this.givenUp();
    const owners = this.owners();
    this.checkMine(owners);
    const { targets, holders } = targetsOf(members, owners, { id: this.id, leaving: this.leaving });
    for (const partition of this.mine.keys()) if (targets[partition] !== this.id) this.revoke(partition);
    const moves = owners.map((ownership, partition) =>
      this.move(partition, ownership, targets[partition], holders[partition]),
    );
    await Promise.all(moves);
  }

  private ownerKey(partition: number): Buffer {
    return partitionKey(kinds.owner, [this.group, this.topic.name], partition);
  }

  private owners(): readonly Ownership[] {
    const { log } = this.parts;
    log.refresh();
    return Array.from({ length: this.topic.partitions }, (_, partition) => {
      const entry = log.entry(this.ownerKey(partition));
      if (entry === undefined) return { member: null, instance: null, epoch: 0 };
      return { ...parseOwner(entry.value), epoch: entry.version };
    });
  }

  // Losing partitions

  /**
   * Fences this member when its lease is stale, since other members can then have removed it. Called before each start.
   */
  private readonly fence = (): void => {
    if (!this.isLate && !this.ended && !this.parts.lease.fresh(this.sessionMs)) this.late();
  };

  late(): void {
    if (this.isLate) return;
    this.isLate = true;
    const { silentMs } = this.parts.lease;
    const silent = `this instance sent no heartbeat for ${silentMs} ms of a session of ${this.sessionMs} ms`;
    this.loseAll(`${silent}. Was its event loop blocked?`);
    void this.look();
  }

  /**
   * Rejoins under a new id, as a member that owns nothing. The row of the old id stays until the new one is written.
   * Otherwise another member could claim the partitions that this one gets back.
   */
  private async rejoin(): Promise<void> {
    const { lease } = this.parts;
    lease.drop(this);
    await lease.keep(this);
    this.staleId ??= this.id;
    this.renew();
    this.isLate = false;
    this.toEnrol = true;
  }

  /** Handles the removal of this member by other members. */
  private givenUp(): void {
    this.loseAll('the other members removed this one');
    // Wait between enrollments. If other members keep taking this one for dead, writing and removing its row must not
    // become a loop.
    if (this.parts.clock.mono() - this.enrolledMs < enrolMsMin) return;
    this.renew();
    this.toEnrol = true;
    this.again = true;
  }

  private loseAll(reason: string): void {
    for (const partition of this.mine.keys()) this.lose(partition, reason);
  }

  private lose(partition: number, reason: string): void {
    const owned = this.mine.get(partition);
    if (owned === undefined) return;
    this.mine.delete(partition);
    owned.lose(reason);
  }

  private checkMine(owners: readonly Ownership[]): void {
    for (const [partition, owned] of this.mine) {
      if (owners[partition]?.epoch !== owned.epoch) this.lose(partition, 'another member owns it now');
    }
  }

  // Revoking and claiming partitions

  private revoke(partition: number): void {
    const owned = this.mine.get(partition);
    if (owned === undefined || this.revocations.has(partition)) return;
    const revocation = this.runRevocation(partition, owned).finally(() => {
      this.revocations.delete(partition);
      void this.look(); // records that the partition is free
    });
    this.revocations.set(partition, revocation);
  }

  private async runRevocation(partition: number, owned: EmbeddedOwnedPartition): Promise<void> {
    try {
      await this.owner.onRevoked(partition);
    } catch (error) {
      const fields = { group: this.group, partition, reason: errorMessage(error) };
      this.parts.notices.emit({ type: 'log', level: 'error', message: 'revoking a partition failed', fields });
    }
    owned.end();
    if (this.mine.get(partition) !== owned) return; // lost meanwhile
    this.mine.delete(partition);
  }

  /** Claims a partition that is free and assigned to this member, or records as free one that was revoked. */
  private async move(
    partition: number,
    ownership: Ownership,
    target: string | undefined,
    holder: string | undefined,
  ): Promise<void> {
    if (this.mine.has(partition) || this.revocations.has(partition)) return;
    const { member, epoch } = ownership;
    const isFree = holder === undefined || holder === this.id;
    const comesBack = holder === this.id && member !== this.id;
    if (isFree && (target === this.id || comesBack)) {
      if (await this.setOwner(partition, epoch, { member: this.id, instance: this.parts.self })) {
        this.take(partition, epoch + 1);
      }
    } else if (member === this.id && (await this.setOwner(partition, epoch, { member: null, instance: null }))) {
      this.reportOthers();
    }
  }

  /** Writes the owner of a partition under a new epoch. Returns false if another member changed it since. */
  private setOwner(partition: number, epoch: number, row: OwnerRow): Promise<boolean> {
    const { log } = this.parts;
    const key = this.ownerKey(partition);
    const guard = { key, version: epoch === 0 ? null : epoch };
    return log.within(log.write(guard, [{ key, value: Buffer.from(JSON.stringify(row)), version: epoch + 1 }]));
  }

  private take(partition: number, epoch: number): void {
    this.fence();
    if (this.isLate) return; // the next look finds it under the former id and claims it again
    const { log, topics, notifier, reader } = this.parts;
    const commitKey = partitionKey(kinds.commit, [this.group, this.topic.name], partition);
    log.refresh();
    const entry = log.entry(commitKey);
    const owned = new EmbeddedOwnedPartition({
      group: this.group,
      topic: this.topic.name,
      partition,
      epoch,
      committed: entry === undefined ? null : decodeCommit(entry.value),
      log,
      topics,
      notifier,
      reader: reader(this.topic.name, partition),
      ownerKey: this.ownerKey(partition),
      commitKey,
      fence: this.fence,
      cannotServe: (entries) => this.miss(partition, entries),
      refused: () => {
        if (this.mine.get(partition) === owned) this.lose(partition, 'another member owns it now');
      },
    });
    this.mine.set(partition, owned);
    if (this.misses.delete(partition)) this.toEnrol = this.again = true; // waiting entries are reported again
    this.owner.onAssigned(owned);
  }

  private miss(partition: number, entries: readonly string[]): void {
    if (!this.mine.has(partition)) return;
    this.misses.set(partition, entries);
    this.toEnrol = true;
    void this.look();
  }

  // Leaving

  close(): Promise<void> {
    return this.closing.close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  private async leave(): Promise<void> {
    this.leaving = true;
    this.toEnrol = true; // marked as leaving, so that the next look assigns nothing to it
    await this.look();
    for (const partition of this.mine.keys()) this.revoke(partition); // needed if that look failed
    await Promise.all(this.revocations.values());
    await this.look(); // records the revoked partitions as free
    this.ended = true;
    this.unwatch();
    this.parts.lease.drop(this);
    await this.vanish();
  }

  private async vanish(): Promise<void> {
    try {
      await this.groupMembers.set(this.id, null);
    } catch (error) {
      this.complain(errorMessage(error)); // the other members remove this one when its session ends
    }
    this.reportOthers();
  }
}

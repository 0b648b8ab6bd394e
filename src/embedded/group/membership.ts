/** One member of a group: works out which partitions should be its own, gives what should not, takes what should. */
import { randomHex } from '../../base/clock';
import { sayError } from '../../base/errors';
import { closable } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import type { Store } from '../../disk/lmdb';
import type { Member, Owner, Topic } from '../../ports/log';
import { kinds, partitionKey } from '../store/keys';
import type { Leased } from './lease';
import { decodeCommit } from '../store/commit-format';
import { OwnedPartition } from './owned-partition';
import type { Reader } from '../store/read';
import { Roster, type MemberRow, type RosterParts } from './roster';
import { parseOwner, targetsOf, type OwnerRow } from './targets';
import type { Topics } from '../store/topics';
import type { Wake } from '../store/notifier';

/** How often everything is looked at even if nobody rang; more rarely in large groups, where it costs more. */
const lookMs = 1000;
const lookMsPerMember = 10;
/** A member that is counted out comes back at most this often. */
const enrolMsMin = 1000;
/** More than a member can lose while partitions of the first one are still to be taken back. */
const formerIdsMax = 8;

interface Ownership extends OwnerRow {
  readonly epoch: number;
}

export interface MembershipParts extends RosterParts {
  readonly self: string;
  readonly log: Store;
  readonly notices: Notices;
  readonly topics: Topics;
  readonly wake: Wake;
  readonly reader: (topic: string, partition: number) => Reader;
  /** Something changed in this group: other members in this process look at once. */
  readonly changed: (group: string) => void;
}

export class Membership implements Member, Leased {
  id: string;
  private readonly roster: Roster;
  private readonly mine = new Map<number, OwnedPartition>();
  /** Partitions whose `give` runs, also those that were lost meanwhile: they cannot come back before it ends. */
  private readonly giving = new Map<number, Promise<void>>();
  /** Entries that wait in partitions and are not served here. */
  private readonly misses = new Map<number, readonly string[]>();
  /** Ids under which it lost everything, and the one of them whose row is still there. */
  private formerIds: readonly string[] = [];
  private staleId: string | undefined;
  private leaving = false;
  private started = false;
  /** What the others read of us is not there yet, or not true any more. */
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
    this.roster = new Roster(parts, group, topic.name);
    this.unwatch = parts.wake.watch(topic.name);
  }

  private renew(): void {
    this.formerIds = [...this.formerIds, this.id].slice(-formerIdsMax);
    this.id = this.newId();
  }
  private newId(): string {
    return `${this.parts.self}:${randomHex(this.parts.random, 48)}`;
  }

  /** Resolves when this member is known to the others and has taken what was free for it. */
  async start(): Promise<void> {
    await this.parts.lease.keep(this);
    this.started = true;
    await this.look();
    if (!this.isEnrolled) throw this.failure;
  }

  private async enrol(): Promise<void> {
    const { self, leaseId, neighbours, clock } = this.parts;
    const { sessionMs, leaving } = this;
    this.toEnrol = false;
    this.enrolledMs = clock.mono();
    try {
      const row: MemberRow = {
        instance: self,
        address: neighbours.address,
        lease: leaseId,
        sessionMs,
        leaving,
        serves: this.serves,
        formerIds: this.formerIds,
        misses: Object.fromEntries(this.misses),
      };
      await this.roster.set(this.id, row, this.staleId);
      this.staleId = undefined;
      this.isEnrolled = true;
    } catch (error) {
      this.toEnrol = true;
      throw error;
    }
    this.tellOthers();
  }

  private tellOthers(): void {
    this.roster.ring();
    this.parts.changed(this.group);
  }

  /** To be called often: a glance at some others, and a look when one of them is gone or the last look was long ago. */
  ask(): void {
    if (this.ended || !this.started) return;
    const found = this.askOthers();
    const everyMs = Math.max(lookMs, this.roster.size * lookMsPerMember);
    if (found || this.parts.clock.mono() - this.lookedMs >= everyMs) void this.look();
  }

  private askOthers(): boolean {
    try {
      return this.roster.ask();
    } catch (error) {
      this.complain(sayError(error));
      return false;
    }
  }

  /** Looks now, or again when a look is under way. Never rejects. */
  look(): Promise<void> {
    if (this.ended || !this.started) return Promise.resolve();
    this.again = true;
    // A look may ask for a look while it runs, so it must not run before it is known to.
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
        this.complain(sayError(error));
      }
    }
    this.looking = undefined;
  }

  /** Once per reason; the next tick tries again. */
  private complain(reason: string): void {
    if (this.complained === reason) return;
    this.complained = reason;
    const fields = { group: this.group, reason };
    this.parts.notices.tell({ type: 'log', level: 'error', message: 'the group cannot be looked after', fields });
  }

  private async lookOnce(): Promise<void> {
    this.lookedMs = this.parts.clock.mono();
    this.fence();
    if (this.isLate) await this.rejoin();
    if (this.toEnrol) await this.enrol();
    const members = await this.roster.living();
    if (!members.has(this.id)) return this.givenUp();
    const owners = this.owners();
    this.checkMine(owners);
    const { targets, holders } = targetsOf(members, owners, { id: this.id, leaving: this.leaving });
    for (const partition of this.mine.keys()) if (targets[partition] !== this.id) this.give(partition);
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

  // Leaving behind what is not ours any more

  /** Before anything is started: whoever gave no sign of life for too long may have been given up by the others. */
  private readonly fence = (): void => {
    if (!this.isLate && !this.ended && !this.parts.lease.fresh(this.sessionMs)) this.late();
  };

  late(): void {
    if (this.isLate) return;
    this.isLate = true;
    const { silentMs } = this.parts.lease;
    this.loseAll(`no sign of life for ${silentMs} ms, session ${this.sessionMs} ms: was the event loop held up?`);
    void this.look();
  }

  /**
   * Comes back under a new id, as a member that owns nothing. The row of the old id stays until the new one is written,
   * so that no other member takes what this one gets back.
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

  /** The others counted us out. */
  private givenUp(): void {
    this.loseAll('the other members gave this one up');
    // If they take us for dead again and again, that must not become a race of writing and removing.
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
      if (owners[partition]?.epoch !== owned.epoch) this.lose(partition, 'another member took it');
    }
  }

  // Giving and taking

  private give(partition: number): void {
    const owned = this.mine.get(partition);
    if (owned === undefined || this.giving.has(partition)) return;
    const given = this.letGive(partition, owned).finally(() => {
      this.giving.delete(partition);
      void this.look(); // which writes that it is free
    });
    this.giving.set(partition, given);
  }

  private async letGive(partition: number, owned: OwnedPartition): Promise<void> {
    try {
      await this.owner.give(partition);
    } catch (error) {
      const fields = { group: this.group, partition, reason: sayError(error) };
      this.parts.notices.tell({ type: 'log', level: 'error', message: 'giving a partition failed', fields });
    }
    owned.end();
    if (this.mine.get(partition) !== owned) return; // lost meanwhile
    this.mine.delete(partition);
  }

  /** Takes a partition that should be ours and is nobody's, or frees one that we have given. */
  private async move(
    partition: number,
    ownership: Ownership,
    target: string | undefined,
    holder: string | undefined,
  ): Promise<void> {
    if (this.mine.has(partition) || this.giving.has(partition)) return;
    const { member, epoch } = ownership;
    const isFree = holder === undefined || holder === this.id;
    const comesBack = holder === this.id && member !== this.id;
    if (isFree && (target === this.id || comesBack)) {
      if (await this.setOwner(partition, epoch, { member: this.id, instance: this.parts.self })) {
        this.take(partition, epoch + 1);
      }
    } else if (member === this.id && (await this.setOwner(partition, epoch, { member: null, instance: null }))) {
      this.tellOthers();
    }
  }

  /** Whether it was written: only if nobody changed it since. Each change is a new epoch. */
  private setOwner(partition: number, epoch: number, row: OwnerRow): Promise<boolean> {
    const { log } = this.parts;
    const key = this.ownerKey(partition);
    const guard = { key, version: epoch === 0 ? null : epoch };
    return log.within(log.write(guard, [{ key, value: Buffer.from(JSON.stringify(row)), version: epoch + 1 }]));
  }

  private take(partition: number, epoch: number): void {
    this.fence();
    if (this.isLate) return; // the next look finds it under our old name and takes it anew
    const { log, topics, wake, reader } = this.parts;
    const commitKey = partitionKey(kinds.commit, [this.group, this.topic.name], partition);
    log.refresh();
    const entry = log.entry(commitKey);
    const owned = new OwnedPartition({
      group: this.group,
      topic: this.topic.name,
      partition,
      epoch,
      committed: entry === undefined ? null : decodeCommit(entry.value),
      log,
      topics,
      wake,
      reader: reader(this.topic.name, partition),
      ownerKey: this.ownerKey(partition),
      commitKey,
      fence: this.fence,
      cannotServe: (entries) => this.miss(partition, entries),
      refused: () => {
        if (this.mine.get(partition) === owned) this.lose(partition, 'another member took it');
      },
    });
    this.mine.set(partition, owned);
    if (this.misses.delete(partition)) this.toEnrol = this.again = true; // what still waits there is reported again
    this.owner.take(owned);
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
    this.toEnrol = true; // as one that leaves: from the next look on nothing should be ours
    await this.look();
    for (const partition of this.mine.keys()) this.give(partition); // if that look failed
    await Promise.all(this.giving.values());
    await this.look(); // frees what was given
    this.ended = true;
    this.unwatch();
    this.parts.lease.drop(this);
    await this.vanish();
  }

  private async vanish(): Promise<void> {
    try {
      await this.roster.set(this.id, null);
    } catch (error) {
      this.complain(sayError(error)); // the others count us out
    }
    this.tellOthers();
  }
}

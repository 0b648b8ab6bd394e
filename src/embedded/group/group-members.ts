/** Reads and writes the rows of a group's members in the live file, and removes members that are dead or silent. */
import type { Clock, Random } from '../../base/clock';
import type { Change, Store } from '../../disk/lmdb';
import { behind, keyOf, kinds, namesIn } from '../store/keys';
import { leaseKey, type Lease } from './lease';
import type { PeerProcesses } from '../store/peer-processes';

/**
 * Members that one member checks at a time, in turns, which bounds the cost of a check. In a large group one member
 * needs long for a full round. Each starts at another place, so together they cover the group quickly. The first one
 * that finds a dead member rings the processes of all members.
 */
const checkedMax = 10;

/** Row of a member in the live file, stored under its group, topic and id. */
export interface MemberRow {
  readonly instance: string;
  readonly address: string;
  readonly lease: string;
  readonly sessionMs: number;
  /** It gives back all partitions, and none must be assigned to it. */
  readonly leaving: boolean;
  /** Entries whose messages this member handles. Members of busbar 0.1.0 do not write it. */
  readonly serves?: readonly string[];
  /** Ids under which it was a member before and lost all partitions, the newest last. */
  readonly formerIds?: readonly string[];
  /** Entries by partition whose messages it found there and does not serve. */
  readonly misses?: Readonly<Record<string, readonly string[]>>;
}

export interface GroupMembersParts {
  readonly live: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly peers: PeerProcesses;
  readonly lease: Lease;
  /** Id of the lease of this open log, which its members share. */
  readonly leaseId: string;
}

export class GroupMembers {
  /** Members of other logs, as last read. */
  private others: readonly (readonly [id: string, row: MemberRow])[] = [];
  private nextChecked: number | undefined;
  /** Members to be removed, and why. */
  private readonly expired = new Map<string, 'dead' | 'silent'>();

  constructor(
    private readonly parts: GroupMembersParts,
    private readonly group: string,
    private readonly topic: string,
  ) {}

  private key(id: string): Buffer {
    return keyOf(kinds.member, [this.group, this.topic, id]);
  }

  /** Adds a member, changes its row, or (null) removes it. `former` is removed in the same transaction. */
  async set(id: string, row: MemberRow | null, former?: string): Promise<void> {
    const { live } = this.parts;
    const changes: Change[] = [{ key: this.key(id), value: row === null ? null : Buffer.from(JSON.stringify(row)) }];
    if (former !== undefined) changes.push({ key: this.key(former), value: null });
    await live.within(live.write(null, changes));
  }

  /** Returns all members, including dead ones that have not been removed yet. */
  read(): Map<string, MemberRow> {
    const { live } = this.parts;
    const prefix = keyOf(kinds.member, [this.group, this.topic]);
    const rows = new Map<string, MemberRow>();
    live.refresh();
    live.scan(prefix, behind(prefix), (key, { value }) => {
      // Only `set` above writes these rows.
      rows.set(namesIn(key)[2] ?? '', JSON.parse(value.toString()) as MemberRow);
      return true;
    });
    return rows;
  }

  private addresses(): readonly string[] {
    try {
      return [...this.read().values()].map((row) => row.address);
    } catch {
      return [];
    }
  }

  /** Number of members of other logs when they were last read. */
  get size(): number {
    return this.others.length;
  }

  /** Rings the processes of all other members. It rings none while the live file cannot be read. */
  ring(): void {
    const { peers } = this.parts;
    const addresses = new Set(this.addresses());
    addresses.delete(peers.address);
    peers.ring([...addresses], `group:${this.group}`);
  }

  /**
   * Checks some members of other logs; the next call continues with the following ones. Returns whether a member seems
   * dead.
   */
  check(): boolean {
    const count = this.others.length;
    this.nextChecked ??= Math.floor(this.parts.random.next() * count);
    if (this.nextChecked >= count) this.nextChecked = 0;
    const some = this.others.slice(this.nextChecked, this.nextChecked + checkedMax);
    this.nextChecked += checkedMax;
    for (const [id, row] of some) {
      if (!this.parts.peers.alive(row.address)) this.expired.set(id, 'dead');
      else if (this.parts.lease.look(row.lease).silentMs >= row.sessionMs) this.expired.set(id, 'silent');
    }
    return this.expired.size > 0;
  }

  /**
   * Reads all members. Removes those of a dead process and those whose session expired, and resolves to the remaining
   * ones.
   */
  async readLive(): Promise<ReadonlyMap<string, MemberRow>> {
    const members = this.read();
    this.others = [...members].filter(([, row]) => row.lease !== this.parts.leaseId);
    const removals = [...this.expired];
    this.expired.clear();
    const counts = removals.map(async ([id, why]) => {
      const row = members.get(id);
      if (row !== undefined && (await this.countOut(id, row, why === 'dead'))) members.delete(id);
    });
    await Promise.all(counts);
    if (removals.length > 0) this.ring();
    return members;
  }

  /** Returns whether the member was removed now. A renewal that arrives first makes the write fail. */
  private async countOut(id: string, row: MemberRow, dead: boolean): Promise<boolean> {
    const { lease, live } = this.parts;
    const { count, silentMs } = lease.look(row.lease);
    if (!dead && silentMs < row.sessionMs) return false;
    const changes: Change[] = [{ key: this.key(id), value: null }];
    if (dead) changes.push({ key: leaseKey(row.lease), value: null });
    const guard = count === undefined ? null : { key: leaseKey(row.lease), version: count };
    return live.within(live.write(guard, changes));
  }
}

/** Who takes part in a group: the rows of its members in the live file, and who of them is dead. */
import type { Clock, Random } from '../../base/clock';
import type { Change, Store } from '../../disk/lmdb';
import { behind, keyOf, kinds, namesIn } from '../store/keys';
import { leaseKey, type Lease } from './lease';
import type { Neighbours } from '../store/peer-processes';

/**
 * How many members are looked after at a time, in turns. In a large group one member comes round slowly, but all of
 * them do, each from another place, and the first who finds somebody dead tells everybody.
 */
const askedMax = 10;

/** What is written of a member; under its group, topic and id. */
export interface MemberRow {
  readonly instance: string;
  readonly address: string;
  readonly lease: string;
  readonly sessionMs: number;
  /** It gives everything away and must not be given anything. */
  readonly leaving: boolean;
  /** Entries whose messages it handles. Members of busbar 0.1.0 do not write it. */
  readonly serves?: readonly string[];
  /** Ids under which it was a member before and lost everything, the newest last. */
  readonly formerIds?: readonly string[];
  /** By partition, entries whose messages it met there and does not serve. */
  readonly misses?: Readonly<Record<string, readonly string[]>>;
}

export interface RosterParts {
  readonly live: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly neighbours: Neighbours;
  readonly lease: Lease;
  /** Of this open log: its members live as long as it does. */
  readonly leaseId: string;
}

export class Roster {
  /** The members of other logs, as last read. */
  private others: readonly (readonly [id: string, row: MemberRow])[] = [];
  private asked: number | undefined;
  /** Those that are to be counted out, and why. */
  private readonly gone = new Map<string, 'dead' | 'silent'>();

  constructor(
    private readonly parts: RosterParts,
    private readonly group: string,
    private readonly topic: string,
  ) {}

  private key(id: string): Buffer {
    return keyOf(kinds.member, [this.group, this.topic, id]);
  }

  /** Makes a member known, changes its row, or (null) takes it out; `former` is taken out in the same step. */
  async set(id: string, row: MemberRow | null, former?: string): Promise<void> {
    const { live } = this.parts;
    const changes: Change[] = [{ key: this.key(id), value: row === null ? null : Buffer.from(JSON.stringify(row)) }];
    if (former !== undefined) changes.push({ key: this.key(former), value: null });
    await live.within(live.write(null, changes));
  }

  /** Everybody who takes part, dead ones too until somebody counts them out. */
  read(): Map<string, MemberRow> {
    const { live } = this.parts;
    const prefix = keyOf(kinds.member, [this.group, this.topic]);
    const rows = new Map<string, MemberRow>();
    live.refresh();
    live.scan(prefix, behind(prefix), (key, { value }) => {
      // Only `set` above writes these.
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

  /** How many members of other logs there were when they were last read. */
  get size(): number {
    return this.others.length;
  }

  /** Rings at the processes of all other members. None can be rung at while the live file cannot be read. */
  ring(): void {
    const { neighbours } = this.parts;
    const addresses = new Set(this.addresses());
    addresses.delete(neighbours.address);
    neighbours.ring([...addresses], `group:${this.group}`);
  }

  /** Looks after some of the others, the next ones at the next call; whether one of them seems to be gone. */
  ask(): boolean {
    const count = this.others.length;
    this.asked ??= Math.floor(this.parts.random.next() * count);
    if (this.asked >= count) this.asked = 0;
    const some = this.others.slice(this.asked, this.asked + askedMax);
    this.asked += askedMax;
    for (const [id, row] of some) {
      if (!this.parts.neighbours.alive(row.address)) this.gone.set(id, 'dead');
      else if (this.parts.lease.look(row.lease).silentMs >= row.sessionMs) this.gone.set(id, 'silent');
    }
    return this.gone.size > 0;
  }

  /** Reads all and counts out those of a dead process and those whose session ended; resolves with who is left. */
  async living(): Promise<ReadonlyMap<string, MemberRow>> {
    const members = this.read();
    this.others = [...members].filter(([, row]) => row.lease !== this.parts.leaseId);
    const gone = [...this.gone];
    this.gone.clear();
    const counts = gone.map(async ([id, why]) => {
      const row = members.get(id);
      if (row !== undefined && (await this.countOut(id, row, why === 'dead'))) members.delete(id);
    });
    await Promise.all(counts);
    if (gone.length > 0) this.ring();
    return members;
  }

  /** Whether the member was counted out now. A sign of life that comes first makes the write fail. */
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

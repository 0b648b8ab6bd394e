/** Who takes part in a group: the rows of its members in the live file, and who of them is dead. */
import type { Clock } from '../base/clock';
import type { Change, Store } from '../disk/lmdb';
import { behind, keyOf, kinds, namesIn } from './keys';
import { leaseKey, type Lease } from './lease';
import type { Neighbours } from './neighbours';

/** How many neighbours are asked after at a time, in turns. */
const askedMax = 25;

/** What is written of a member; under its group, topic and id. */
export interface MemberRow {
  readonly instance: string;
  readonly address: string;
  readonly lease: string;
  readonly sessionMs: number;
  /** It gives everything away and must not be given anything. */
  readonly leaving: boolean;
}

export interface RosterParts {
  readonly live: Store;
  readonly clock: Clock;
  readonly neighbours: Neighbours;
  readonly lease: Lease;
  /** Of this open log: its members live as long as it does. */
  readonly leaseId: string;
}

export class Roster {
  /** The members of other logs, as last read. */
  private others: ReadonlyMap<string, MemberRow> = new Map();
  private asked = 0;
  /** Addresses that were found dead and are not counted out yet. */
  private readonly dead = new Set<string>();

  constructor(
    private readonly parts: RosterParts,
    private readonly group: string,
    private readonly topic: string,
  ) {}

  private key(id: string): Buffer {
    return keyOf(kinds.member, [this.group, this.topic, id]);
  }

  /** Makes a member known, changes its row, or (null) takes it out. */
  async set(id: string, row: MemberRow | null): Promise<void> {
    const { live } = this.parts;
    const value = row === null ? null : Buffer.from(JSON.stringify(row));
    await live.within(live.write(null, [{ key: this.key(id), value }]));
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

  /** Rings at the processes of all other members. */
  ring(): void {
    const { neighbours } = this.parts;
    const addresses = new Set([...this.read().values()].map((row) => row.address));
    addresses.delete(neighbours.address);
    neighbours.ring([...addresses], `group:${this.group}`);
  }

  /** Asks after some of the others, the next ones at the next call; whether one of them was found dead. */
  ask(): boolean {
    const addresses = [...new Set([...this.others.values()].map((row) => row.address))];
    if (this.asked >= addresses.length) this.asked = 0;
    const some = addresses.slice(this.asked, this.asked + askedMax);
    this.asked += askedMax;
    for (const address of some) if (!this.parts.neighbours.alive(address)) this.dead.add(address);
    return this.dead.size > 0;
  }

  /** Reads all and counts out those of a dead process and those whose session ended; resolves with who is left. */
  async living(): Promise<ReadonlyMap<string, MemberRow>> {
    const members = this.read();
    this.others = new Map([...members].filter(([, row]) => row.lease !== this.parts.leaseId));
    const dead = new Set(this.dead);
    this.dead.clear();
    const counts = [...this.others].map(async ([id, row]) => {
      if (await this.countOut(id, row, dead.has(row.address))) members.delete(id);
    });
    await Promise.all(counts);
    if (members.size < this.others.size) this.ring();
    return members;
  }

  /** Whether the member is dead and was counted out now. A sign of life that comes first makes the write fail. */
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

/** A member of a group that works as an owner, and a ledger that detects violations. */
import { PartitionLostError, OutOfRangeError, type OwnedPartition, type Owner, type Stored } from '../../src/ports/log';
import { bytes, text } from '../support/conformance';

/** The actions of all workers of one group. */
export class Ledger {
  /** The detected violations. */
  readonly faults: string[] = [];
  readonly owners = new Map<number, string>();
  /** The number of times that each value was handled. */
  readonly handled = new Map<string, number>();
  readonly #committed = new Map<number, number>();
  readonly #epochs = new Map<number, number>();

  begin(owned: OwnedPartition, who: string): void {
    const { partition, epoch, committed } = owned;
    const other = this.owners.get(partition);
    if (other !== undefined) this.faults.push(`${who} got ${partition} while ${other} had it`);
    this.owners.set(partition, who);
    const before = this.#epochs.get(partition) ?? -1;
    if (epoch <= before) this.faults.push(`${who} got ${partition} in epoch ${epoch}, after ${before}`);
    this.#epochs.set(partition, epoch);
    const known = this.#committed.get(partition) ?? 0;
    const from = committed?.offset ?? 0;
    if (from < known) this.faults.push(`${who} got ${partition} at ${from}, but ${known} was committed`);
    const state = text(committed?.state ?? null);
    if (state !== null && state !== '' && state !== `up to ${from}`) {
      this.faults.push(`${who} got ${partition} at ${from} with the state '${state}'`);
    }
  }

  handle(record: Stored, who: string): void {
    const { partition, offset } = record;
    if (this.owners.get(partition) !== who) this.faults.push(`${who} handled ${partition}@${offset} without owning it`);
    if (offset < (this.#committed.get(partition) ?? 0))
      this.faults.push(`${partition}@${offset} again after its commit`);
    const value = text(record.value) ?? '';
    this.handled.set(value, (this.handled.get(value) ?? 0) + 1);
  }

  commit(partition: number, offset: number): void {
    this.#committed.set(partition, Math.max(offset, this.#committed.get(partition) ?? 0));
  }

  end(partition: number, who: string): void {
    if (this.owners.get(partition) === who) this.owners.delete(partition);
  }
  /** Records that a worker has stopped, with all its partitions. */
  died(who: string): void {
    for (const [partition, owner] of this.owners) if (owner === who) this.owners.delete(partition);
  }
}

interface Job {
  readonly owned: OwnedPartition;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

export class Worker implements Owner {
  readonly jobs = new Map<number, Job>();
  /** Every partition that was ever assigned to it, including lost ones. */
  readonly ever: OwnedPartition[] = [];
  readonly #giving = new Set<number>();
  dead = false;

  constructor(
    readonly name: string,
    readonly ledger: Ledger,
    /** Awaited in `give`, after the work on the partition has ended and before it is released. */
    readonly drain: (partition: number) => Promise<void> = async () => undefined,
  ) {}

  onAssigned(owned: OwnedPartition): void {
    if (this.dead) return;
    const { partition } = owned;
    this.ledger.begin(owned, this.name);
    if (this.#giving.has(partition)) this.ledger.faults.push(`${this.name} got ${partition} while it still gave it`);
    this.ever.push(owned);
    const stop = new AbortController();
    owned.lost.addEventListener('abort', () => {
      stop.abort();
      this.#forget(partition);
    });
    this.jobs.set(partition, { owned, stop, ended: this.#work(owned, stop.signal) });
  }

  async onRevoked(partition: number): Promise<void> {
    this.#giving.add(partition);
    const job = this.jobs.get(partition);
    job?.stop.abort();
    await job?.ended;
    await this.drain(partition);
    if (this.jobs.get(partition) === job) this.#forget(partition);
    this.#giving.delete(partition);
  }

  /** Call this when its process crashes. */
  die(): void {
    this.dead = true;
    for (const { stop } of this.jobs.values()) stop.abort();
    this.ledger.died(this.name);
  }

  #forget(partition: number): void {
    this.jobs.delete(partition);
    this.ledger.end(partition, this.name);
  }

  async #work(owned: OwnedPartition, stop: AbortSignal): Promise<void> {
    const { partition } = owned;
    let next = owned.committed?.offset ?? 0;
    try {
      while (!stop.aborted) {
        const records = await owned.read(next, { messages: 20, bytes: 100_000 }, stop).catch((error: unknown) => {
          if (!(error instanceof OutOfRangeError)) throw error;
          next = error.start;
          return [];
        });
        if (this.dead) return;
        for (const record of records) this.ledger.handle(record, this.name);
        const last = records.at(-1);
        if (!last) continue;
        next = last.offset + 1;
        await owned.commit({ offset: next, state: bytes(`up to ${next}`) });
        if (!this.dead) this.ledger.commit(partition, next);
      }
    } catch (error) {
      if (!this.dead && !(error instanceof PartitionLostError))
        this.ledger.faults.push(`${this.name}/${partition}: ${String(error)}`);
    }
  }
}

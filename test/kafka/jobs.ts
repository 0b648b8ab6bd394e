/** Submits jobs under load, and checks by their ids that no accepted one is missing and no settled one repeated. */
import { isBusError } from '../../src/base/errors';
import { decodeBody } from '../../src/format/codec';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { namesIn } from '../../src/format/names';
import type { Bus } from '../../src/index';
import type { CommittedProgress, Stored } from '../../src/ports/log';
import { decodeState } from '../../src/work/progress/commit-state';
import { shop } from '../bus/contract';
import type { Scene } from '../bus/processes';
import { openRealProcess, type KafkaProcess } from '../support/kafka-log-ports';

const submitters = 8;
const orders = 40;
/** Pause of one submitter between two jobs. */
const pauseMs = 8;
const lookMs = 200;
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls `holds` every 200 ms until it returns true. Rejects with the text of `what` after `withinMs`. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs: number,
  what: () => string,
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what()}`);
    await later(lookMs);
  }
}

/** A job in the log of the queue. */
interface Job {
  readonly partition: number;
  readonly offset: number;
  readonly id: string;
  readonly n: number;
}

export class Jobs {
  /** Number of each accepted job by its id. */
  readonly resolved = new Map<string, number>();
  /** Numbers of jobs that ended in Unreachable, which can be in the log or not. */
  readonly unknown: number[] = [];
  readonly faults: string[] = [];
  /** Topic of the queue, whose group has the same name. */
  readonly topic: string;
  readonly #looker: KafkaProcess;
  /** Time at which each offset of a partition was first observed as settled, in ms since 1970. */
  readonly #settled = new Map<number, Map<number, number>>();
  readonly #watermarks = new Map<number, number>();
  #running = true;
  #next = 0;
  #ends: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly scene: Scene,
    brokers: string,
    ns: string,
  ) {
    this.topic = namesIn(ns).work('shop');
    this.#looker = openRealProcess(brokers, {}, 'looker');
  }

  start(bus: Bus): void {
    const loads = Array.from({ length: submitters }, () => this.#submit(bus));
    this.#ends = Promise.all([...loads, this.#watch()]);
  }

  async #submit(bus: Bus): Promise<void> {
    while (this.#running) {
      const n = this.#next++;
      try {
        const { id, reached } = await bus.submit(shop.pack, { order: `o${n % orders}`, n });
        if (reached !== 'broker') this.faults.push(`${n} reached ${reached}`);
        this.resolved.set(id, n);
      } catch (error) {
        if (isBusError(error, 'Unreachable')) this.unknown.push(n);
        else this.faults.push(`${n} was refused: ${String(error)}`);
      }
      await later(pauseMs);
    }
  }

  /** Polls the commits of the group: a job that is settled at that moment must never begin again. */
  async #watch(): Promise<void> {
    while (this.#running) {
      const places = await this.#looker.log.committedOffsets(this.topic, this.topic).catch((error: unknown) => {
        if (!isBusError(error, 'Unreachable')) this.faults.push(`looking at the group: ${String(error)}`);
        return [];
      });
      const atMs = Date.now();
      for (const place of places) this.#note(place, atMs);
      await later(lookMs);
    }
  }

  #note({ partition, offset, state }: CommittedProgress, atMs: number): void {
    const settled = this.#settled.get(partition) ?? new Map<number, number>();
    this.#settled.set(partition, settled);
    const before = this.#watermarks.get(partition) ?? 0;
    // A restarted coordinator can return an older offset until it knows its replicas' log ends; see #wentBack.
    this.#watermarks.set(partition, Math.max(before, offset));
    for (const { from, to } of [{ from: before, to: offset }, ...decodeState(offset, state).ranges]) {
      for (let one = from; one < to; one++) if (!settled.has(one)) settled.set(one, atMs);
    }
  }

  /** Returns the times at which each job began, in ms since 1970, and the jobs that ended. */
  #done(): { readonly begun: ReadonlyMap<number, readonly number[]>; readonly ended: ReadonlySet<number> } {
    const begun = new Map<number, number[]>();
    const ended = new Set<number>();
    for (const { text, atMs } of this.scene.lines()) {
      const [what, , number] = text.split(' ');
      const n = Number(number);
      if (what === 'packed') ended.add(n);
      if (what !== 'pack') continue;
      const times = begun.get(n);
      if (times) times.push(atMs);
      else begun.set(n, [atMs]);
    }
    return { begun, ended };
  }

  /** Resolves when `count` more jobs were accepted and all accepted ones were handled. */
  async goesOn(count: number, withinMs: number): Promise<void> {
    const before = this.resolved.size;
    const told = (): string => `${count} more jobs are accepted; ${this.resolved.size - before} were`;
    await until(() => this.resolved.size >= before + count, withinMs, told);
    const accepted = [...this.resolved.values()];
    let left = accepted;
    const handled = (): boolean => {
      const { ended } = this.#done();
      left = left.filter((n) => !ended.has(n));
      return left.length === 0;
    };
    await until(handled, withinMs, () => `all accepted jobs are handled; ${left.length} are not, such as ${left[0]}`);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#ends;
  }

  /** Ends the load, waits until all jobs in the log were handled, and returns the violations by job id. */
  async audit(): Promise<readonly string[]> {
    await this.stop();
    const there = await this.#inLog();
    const unhandled = (): readonly Job[] => {
      const { ended } = this.#done();
      return there.filter(({ n }) => !ended.has(n));
    };
    await until(
      () => unhandled().length === 0,
      120_000,
      () => `all in the log is handled, but ${unhandled().length}`,
    );
    const ids = new Set(there.map(({ id }) => id));
    const missing = [...this.resolved].filter(([id]) => !ids.has(id));
    return [
      ...this.faults,
      ...missing.map(([id, n]) => `job ${n} (${id}) was accepted, but is not in the log`),
      ...this.#begunAgain(there),
      ...(await this.#wentBack()),
    ];
  }

  #begunAgain(there: readonly Job[]): readonly string[] {
    const { begun } = this.#done();
    return there.flatMap(({ partition, offset, n }) => {
      const settledMs = this.#settled.get(partition)?.get(offset) ?? Infinity;
      const late = begun.get(n)?.find((atMs) => atMs > settledMs);
      if (late === undefined) return [];
      return `job ${n} at ${partition}/${offset} was begun ${late - settledMs} ms after it was seen to be settled`;
    });
  }

  async #wentBack(): Promise<readonly string[]> {
    const places = await this.#looker.log.committedOffsets(this.topic, this.topic);
    const last = new Map(places.map(({ partition, offset }) => [partition, offset]));
    const lower = [...this.#watermarks].filter(([partition, offset]) => (last.get(partition) ?? 0) < offset);
    return lower.map(([partition, offset]) => `partition ${partition} was committed at ${offset}, and is lower now`);
  }

  async #inLog(): Promise<readonly Job[]> {
    const { log } = this.#looker;
    const bounds = await log.bounds(this.topic);
    const count = bounds.reduce((sum, { start, end }) => sum + end - start, 0);
    const tail = await log.tail(this.topic, 'start');
    const found: Job[] = [];
    while (found.length < count) found.push(...(await tail.read({ messages: 1_000, bytes: 1_000_000 })).map(jobOf));
    await tail.close();
    return found;
  }

  async close(): Promise<void> {
    await this.stop();
    await this.#looker.close();
  }
}

function jobOf({ partition, offset, headers, value }: Stored): Job {
  const body = decodeBody(value ?? new Uint8Array());
  if (!body.ok) throw new Error(`${partition}/${offset}: ${body.reason}`);
  const { n } = body.value as { readonly n: number }; // all jobs of this queue have this body
  const envelope = parseEnvelope(headers.bus ?? '');
  if ('bad' in envelope) throw new Error(`${partition}/${offset}: ${envelope.bad}`);
  return { partition, offset, id: envelope.id, n };
}

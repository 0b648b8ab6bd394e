/** Appends that have not ended: how much they hold, and how long they may take. */
import { Capacity } from '../../base/bounded';
import type { Clock } from '../../base/clock';
import { BusError } from '../../base/errors';
import { deferred, type Deferred } from '../../base/lifecycle';
import { limits } from '../../base/limits';
import { type Append, type LogRecord, partlyFailed } from '../../ports/log';
import { copyRecord, recordBytes, recordBytesMax, waitingBytesMax } from '../protocol/record-size';

/** Where a record came to lie, and when, where the topic says LogAppendTime. */
export interface Landed {
  readonly partition: number;
  readonly offset: number;
  readonly timeMs: number | null;
}
/** One append; done when all of its records are. */
export interface Call {
  readonly topic: string;
  /** Records of it. */
  readonly count: number;
  readonly begunMs: number;
  /** After so long its caller is told that nobody knows. */
  readonly withinMs: number;
  over: boolean;
  /** Some of its records are in the log. */
  landed: boolean;
  done(): void;
  /** This record of it is in the log. */
  land(index: number, place: Landed): void;
  /** This record of it is not taken; what becomes of the others is waited for. */
  refuse(index: number, error: BusError): void;
  fail(error: unknown): void;
}
/** One record of a call. */
export interface Item {
  readonly record: Append;
  readonly bytes: number;
  readonly call: Call;
  /** Which record of the call it is. */
  readonly index: number;
}

/** A topic that holds less than this has room also when others, whose leaders are away, have filled the rest. */
const reservedBytes = 4 * 1024 * 1024;
const retryAfterMs = 100;

export class Calls {
  readonly #open = new Set<Call>();
  readonly #capacity = new Capacity({ count: Infinity, bytes: waitingBytesMax });
  readonly #topics = new Map<string, Capacity>();
  #idle: Deferred<void> | undefined;

  constructor(private readonly clock: Clock) {}

  /** What each record takes. Throws TooLarge for one that is, and Overloaded when so much more may not wait. */
  checkRoom(topic: string, records: readonly LogRecord[]): readonly number[] {
    const sizes = records.map(recordBytes);
    const large = sizes.find((size) => size > recordBytesMax);
    if (large !== undefined) throw tooLarge(topic, large);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const capacity = this.#capacityOf(topic);
    if (!capacity.fits(bytes, sizes.length))
      throw capacity.overloaded(topic, 'records', retryAfterMs, bytes, sizes.length);
    return sizes;
  }
  #capacityOf(topic: string): Capacity {
    const known = this.#topics.get(topic);
    if (known) return known;
    const max = { count: limits.sendingMax, bytes: waitingBytesMax };
    const made = new Capacity(max, this.#capacity, reservedBytes);
    this.#topics.set(topic, made);
    return made;
  }

  begin(
    topic: string,
    count: number,
    withinMs: number,
  ): { readonly call: Call; readonly landed: Promise<readonly Landed[]> } {
    const result = deferred<readonly Landed[]>();
    const places = Array.from<Landed>({ length: count });
    const failed = new Map<number, BusError>();
    const end = (): void => {
      call.over = true;
      this.#open.delete(call);
      if (this.#open.size === 0) this.#idle?.resolve();
    };
    let left = count;
    const known = (): void => {
      left--;
      if (left === 0 && !call.over) call.done();
    };
    const call: Call = {
      topic,
      count,
      begunMs: this.clock.mono(),
      withinMs,
      over: false,
      landed: false,
      done() {
        end();
        const error = partlyFailed(failed, count);
        if (error) result.reject(error);
        else result.resolve(places);
      },
      land(index, place) {
        places[index] = place;
        call.landed = true;
        known();
      },
      refuse(index, error) {
        failed.set(index, error);
        known();
      },
      fail(error) {
        if (call.over) return;
        end();
        result.reject(error);
      },
    };
    this.#open.add(call);
    return { call, landed: result.promise };
  }

  /** Copies of the records of a call, as the caller may reuse its buffers. They hold room until each is freed. */
  itemsOf(call: Call, records: readonly Append[], sizes: readonly number[]): readonly Item[] {
    const items = records.map((record, index) => ({
      record: copyRecord(record),
      bytes: sizes[index] ?? 0,
      call,
      index,
    }));
    const capacity = this.#capacityOf(call.topic);
    for (const { bytes } of items) capacity.add(bytes);
    return items;
  }
  free({ call, bytes }: Item): void {
    this.#capacityOf(call.topic).remove(bytes);
  }

  /** Those that have taken as long as they may. */
  overdue(): readonly Call[] {
    const nowMs = this.clock.mono();
    return [...this.#open].filter(({ begunMs, withinMs }) => nowMs - begunMs >= withinMs);
  }
  all(): readonly Call[] {
    return [...this.#open];
  }

  /** Resolves when none is left, or after `ms`. */
  async runOut(ms: number): Promise<void> {
    if (this.#open.size === 0) return;
    this.#idle = deferred<void>();
    const limit = this.clock.after(ms, () => this.#idle?.resolve());
    await this.#idle.promise;
    limit.cancel();
  }
}

function tooLarge(topic: string, bytes: number): BusError<'TooLarge'> {
  const message = `a record for ${topic} has ${bytes} bytes, at most ${recordBytesMax} are taken`;
  return new BusError('TooLarge', message, { bytes, limitBytes: recordBytesMax });
}

/** Fetches records for all positions, with one long poll per broker, across failures and changes of the leader. */
import { every, sleep, type Timer } from '../../base/clock';
import { sayError } from '../../base/errors';
import type { Closable } from '../../base/lifecycle';
import { busErrorOf, WireError } from '../protocol/errors';
import { Answers, failedRestMs } from './fetch-results';
import { Position } from './fetch-buffer';
import { Troubles } from './read-health';
import { pauseMs, type View } from '../cluster/metadata';
import type { At, Via } from '../client/broker-client';
import type { FetchAsk, Spot } from '../protocol/types';

/** Maximum time that a broker waits for new records. It is the default of Kafka's own consumers. */
const maxWaitMs = 500;
/**
 * Maximum size of the records fetched for all partitions together, with a minimum and a maximum for each, and of one
 * response. Larger values cost more than they save: the records are in memory together, and the garbage collector moves
 * them.
 */
const inHandBytes = 384 * 1024;
const partitionBytesMin = 32 * 1024;
const partitionBytesMax = 256 * 1024;
const answerBytesMax = 2 * 1024 * 1024;
/**
 * Extra time for a response, which doubles after each timeout up to the maximum. The requested bytes shrink at the same
 * time, down to about one batch, so that a slow broker or network can deliver them.
 */
const spareMsMin = 2_000;
const spareMsMax = 30_000;
const slownessMax = 4;
const slowBytesMin = 64 * 1024;
/** Response time below which the next fetch can request more bytes again. */
const quickMs = 1_000;
/**
 * Interval at which the metadata is refreshed while fetches succeed. A leader that lost its connection to the other
 * brokers continues to answer, but has no new records.
 */
const leadersMs = 30_000;
/**
 * Time after which a position that wants records, but has no fetch in flight, is reported and fetched again. It is
 * longer than the pauses after errors, so that only a defect or a missing leader exceeds it.
 */
const unpolledMsMax = 5_000;
const auditIntervalMs = 1_000;

/** State of the long poll to one broker. */
interface Poll {
  /** Positions in the current request, and positions that were fetched separately since it was sent. */
  asked: Set<Position>;
  catchingUp: boolean;
  /** Number of requests that timed out, minus the number of fast responses. */
  slowness: number;
}
type AskedSpot = FetchAsk['partitions'][number] & { readonly members: readonly Position[] };

/**
 * Fetches the records of all open positions. `#plan` derives the fetches from the positions and the leaders of their
 * partitions. It runs after every change of either, including a refresh of the shared view by another component.
 */
export class Fetcher implements Closable {
  readonly #positions = new Set<Position>();
  readonly #polls = new Map<number, Poll>();
  readonly #closing = new AbortController();
  readonly #troubles: Troubles;
  readonly #answers: Answers;
  readonly #unwatch: () => void;
  #audit: Timer | undefined;
  #planned = false;
  #seeking = false;
  #turn = 0;

  constructor(
    private readonly view: View,
    private readonly via: Via,
  ) {
    const troubles = new Troubles(view);
    this.#troubles = troubles;
    const changed = (position: Position): void => this.#changed(position);
    this.#answers = new Answers({ view, via, troubles, closing: this.#closing.signal, changed });
    this.#unwatch = view.watch(() => this.#planSoon());
  }

  close(): Promise<void> {
    this.#closing.abort();
    this.#unwatch();
    this.#audit?.cancel();
    for (const position of this.#positions) position.close();
    return Promise.resolve();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Opens a position, and starts to fetch it at `from`. */
  open({ topic, partition }: Spot, from: number): Position {
    const absences = (): number => this.view.absences(topic);
    const position = new Position(topic, partition, from, (one) => this.#changed(one), absences);
    position.polledMs = this.view.parts.clock.mono();
    this.#positions.add(position);
    this.#audit ??= every(this.view.parts.clock, auditIntervalMs, () => this.#lookForUnpolled());
    this.#changed(position);
    return position;
  }

  #changed(position: Position): void {
    if (position.closed) {
      this.#positions.delete(position);
      this.#troubles.over(position);
      this.view.held.over(position);
    }
    this.#planSoon();
  }
  /** Runs `#plan` once for all changes of this turn. */
  #planSoon(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#plan();
    });
  }

  /** Starts a fetch from the leader of each position that wants records. */
  #plan(): void {
    if (this.#closing.signal.aborted) return;
    const nodes = new Set<number>();
    for (const position of this.#positions) {
      if (!position.wanting) continue;
      const node = this.view.leader(position);
      if (node === undefined) void this.#seek();
      else nodes.add(node);
    }
    for (const node of nodes) {
      const poll = this.#polls.get(node);
      if (!poll) void this.#poll(node);
      else if (!poll.catchingUp) void this.#catchUp(node, poll);
    }
  }

  /** Refreshes the metadata because a position has no known leader. */
  async #seek(): Promise<void> {
    if (this.#seeking) return;
    this.#seeking = true;
    await this.view.refresh();
    for (const one of this.#positions) {
      if (one.wanting && this.view.leader(one) === undefined)
        this.#troubles.bad(one, this.view.whyLeaderless(one.topic));
    }
    await sleep(this.view.parts.clock, pauseMs(this.view.parts.random, 0), this.#closing.signal);
    this.#seeking = false;
    this.#plan();
  }

  #wantingAt(node: number): Position[] {
    const all = [...this.#positions].filter((one) => one.wanting && this.view.leader(one) === node);
    this.#turn++;
    const first = this.#turn % Math.max(1, all.length); // rotates, so that a busy partition does not starve the rest
    return [...all.slice(first), ...all.slice(0, first)];
  }

  /** Polls a broker while any position wants records from it. */
  async #poll(node: number): Promise<void> {
    const { clock } = this.view.parts;
    const poll: Poll = { asked: new Set(), catchingUp: false, slowness: 0 };
    this.#polls.set(node, poll);
    let failures = 0;
    while (!this.#closing.signal.aborted) {
      const positions = this.#wantingAt(node);
      if (positions.length === 0) break;
      poll.asked = new Set(positions);
      const sentMs = clock.mono();
      try {
        await this.#fetch({ node, via: this.via }, positions, maxWaitMs, poll.slowness);
        failures = 0;
        if (clock.mono() - this.view.learnedMs >= leadersMs) void this.view.refresh();
        if (clock.mono() - sentMs < quickMs) poll.slowness = Math.max(0, poll.slowness - 1);
      } catch (error) {
        const late = error instanceof WireError && error.code === 'DEADLINE' && error.uncertain; // it was connected
        if (late) poll.slowness = Math.min(slownessMax, poll.slowness + 1);
        await this.#unanswered(node, positions, error, failures++);
      }
    }
    this.#polls.delete(node);
    this.#plan();
  }

  /** Fetches, without waiting for new records, the positions that were added after the current poll was sent. */
  async #catchUp(node: number, poll: Poll): Promise<void> {
    const { asked } = poll;
    const late = this.#wantingAt(node).filter((one) => !asked.has(one));
    if (late.length === 0) return;
    poll.catchingUp = true;
    const before = late.map(({ next }) => next);
    try {
      await this.#fetch({ node, via: 'admin' }, late, 0, poll.slowness);
    } catch {
      // The poll reports the same error.
    }
    const idle = late.filter(({ next }, i) => next === before[i]);
    for (const one of idle) asked.add(one);
    // The poll can take longer, so fetch them again unless its next round has started by then.
    this.view.parts.clock.after(maxWaitMs, () => {
      for (const one of idle) asked.delete(one);
      if (poll.asked === asked) this.#planSoon();
    });
    poll.catchingUp = false;
    this.#plan();
  }

  async #fetch(at: At, positions: readonly Position[], waitMs: number, slowness: number): Promise<void> {
    const bytesMax = Math.max(slowBytesMin, answerBytesMax / 4 ** slowness);
    const share = Math.max(partitionBytesMin, Math.floor(inHandBytes / this.#positions.size));
    const { asks, apart } = askFor(positions, Math.min(share, partitionBytesMax, bytesMax));
    const jumps = new Map(positions.map((position) => [position, position.jumps]));
    const spareMs = Math.min(spareMsMax, spareMsMin * 2 ** slowness);
    const ask = { partitions: asks, maxWaitMs: apart ? 0 : waitMs, bytesMax, spareMs };
    for (const position of positions) position.polls++;
    try {
      const fetching = this.view.parts.wire.fetch(at, ask, this.#closing.signal);
      const answers = await (slowness === 0 ? fetching : this.#watched(fetching));
      answers.forEach((answer, i) => {
        const asked = asks[i];
        const members = asked?.members.filter((one) => !one.closed && one.jumps === jumps.get(one)) ?? [];
        if (asked) this.#answers.take(at.node, asked, answer, members);
      });
    } finally {
      for (const position of positions) {
        position.polls--;
        position.polledMs = this.view.parts.clock.mono();
      }
    }
  }

  /**
   * Refreshes the metadata while a slow broker responds. A new leader is then polled without waiting for the response.
   */
  async #watched<T>(fetching: Promise<T>): Promise<T> {
    const watch = every(this.view.parts.clock, spareMsMin, () => void this.view.refresh());
    try {
      return await fetching;
    } finally {
      watch.cancel();
    }
  }

  /** Handles the failure of a whole request. Partitions that have a new leader are fetched from that broker. */
  async #unanswered(node: number, positions: readonly Position[], error: unknown, failures: number): Promise<void> {
    const { clock, random } = this.view.parts;
    const hopeless = error instanceof WireError && !error.retriable;
    for (const position of positions) {
      if (this.view.leader(position) !== node) continue;
      if (hopeless) position.fail(busErrorOf(error, `reading ${position.topic}`, 0));
      else this.#troubles.bad(position, sayError(error));
    }
    void this.view.refresh();
    await sleep(clock, hopeless ? failedRestMs : pauseMs(random, failures), this.#closing.signal);
  }

  /**
   * Reports and fetches positions that want records but are not fetched. Each change should have started a fetch, so
   * this bounds the effect of a defect.
   */
  #lookForUnpolled(): void {
    const nowMs = this.view.parts.clock.mono();
    for (const position of this.#positions) {
      if (position.polls > 0 || !position.hungry) position.polledMs = nowMs;
      if (nowMs - position.polledMs < unpolledMsMax) continue;
      this.#troubles.bad(position, this.#whyUnpolled(position), position.polledMs);
      this.#planSoon();
    }
  }
  #whyUnpolled(position: Position): string {
    const node = this.view.leader(position);
    if (node === undefined) return this.view.whyLeaderless(position.topic);
    const why = position.resting ? 'the pause after its last failure has not ended' : 'no fetch was sent to it';
    return `broker ${node} is its leader, but ${why}`;
  }
}

/**
 * Returns one request per partition, at the offset of its first position. `apart` is true if another position of the
 * partition is at a different offset.
 */
function askFor(
  positions: readonly Position[],
  bytesMax: number,
): { readonly asks: readonly AskedSpot[]; readonly apart: boolean } {
  const bySpot = new Map<string, Position[]>();
  for (const position of positions) {
    const key = `${position.topic}/${position.partition}`;
    const same = bySpot.get(key);
    if (same) same.push(position);
    else bySpot.set(key, [position]);
  }
  let apart = false;
  const asks = [...bySpot.values()].flatMap((members): AskedSpot[] => {
    const [chosen] = members;
    if (!chosen) return [];
    const { topic, partition, next: offset } = chosen;
    if (members.some(({ next }) => next !== offset)) apart = true;
    return [{ topic, partition, offset, bytesMax, members }];
  });
  return { asks, apart };
}

/** Fetches for many positions: all that one broker leads in one long poll, on through deaths, moves and trouble. */
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

/** How long a broker may wait for something new. */
const maxWaitMs = 500;
/**
 * Of all partitions that are read here, of each of them, and in one answer: more costs more than it saves, as all of it
 * is in memory at once, and what the garbage collector finds there it has to move.
 */
const inHandBytes = 384 * 1024;
const partitionBytesMin = 32 * 1024;
const partitionBytesMax = 256 * 1024;
const answerBytesMax = 2 * 1024 * 1024;
/** A broker, or the way to it, that is too slow for that gets more time and is asked for less; the least is a batch. */
const spareMsMin = 2_000;
const spareMsMax = 30_000;
const slownessMax = 4;
const slowBytesMin = 64 * 1024;
/** An answer that took less lets it be asked for more again. */
const quickMs = 1_000;
/** A broker that is cut off from the others goes on as a leader, with nothing new: so who leads is asked this often. */
const leadersMs = 30_000;
/**
 * A position that wants records is reported when no fetch of it was under way for this long, and is fetched again.
 * Longer than the pauses after trouble, so that nothing but a fault in this code or a partition without a leader takes
 * so long.
 */
const unpolledMsMax = 5_000;
const auditIntervalMs = 1_000;

/** What is under way at one broker. */
interface Poll {
  /** Positions that are part of it, or were looked at since it was sent. */
  asked: Set<Position>;
  catchingUp: boolean;
  /** Requests that were not answered in time, less the answers that were quick. */
  slowness: number;
}
type AskedSpot = FetchAsk['partitions'][number] & { readonly members: readonly Position[] };

/**
 * What is fetched from which broker is derived, by `#plan`, from the positions and from who leads their partitions. It
 * is derived again whenever one of the two changes, whatever changed it: the view is shared, so other fetchers and the
 * senders of the process refresh it too.
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

  /** Starts to fetch from there. */
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
  /** Once for all that changes in this moment. */
  #planSoon(): void {
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(() => {
      this.#planned = false;
      this.#plan();
    });
  }

  /** Sees to it that everything that wants records is asked for where it is led. */
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

  /** Somebody leads, but we do not know who. */
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
    const first = this.#turn % Math.max(1, all.length); // in turn, so that a busy one keeps no other out
    return [...all.slice(first), ...all.slice(0, first)];
  }

  /** Polls a broker as long as anything is wanted of it. */
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
        const late = error instanceof WireError && error.code === 'DEADLINE' && error.uncertain; // connected, that is
        if (late) poll.slowness = Math.min(slownessMax, poll.slowness + 1);
        await this.#unanswered(node, positions, error, failures++);
      }
    }
    this.#polls.delete(node);
    this.#plan();
  }

  /** For what came too late for the poll that is under way: a look at what is there already. */
  async #catchUp(node: number, poll: Poll): Promise<void> {
    const { asked } = poll;
    const late = this.#wantingAt(node).filter((one) => !asked.has(one));
    if (late.length === 0) return;
    poll.catchingUp = true;
    const before = late.map(({ next }) => next);
    try {
      await this.#fetch({ node, via: 'admin' }, late, 0, poll.slowness);
    } catch {
      // The poll will say what is wrong.
    }
    const idle = late.filter(({ next }, i) => next === before[i]);
    for (const one of idle) asked.add(one);
    // The poll may take long yet, so they are looked at again unless its next round has begun by then.
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

  /** Meanwhile another broker may lead: then it is asked there, and not when the slow one has had all its time. */
  async #watched<T>(fetching: Promise<T>): Promise<T> {
    const watch = every(this.view.parts.clock, spareMsMin, () => void this.view.refresh());
    try {
      return await fetching;
    } finally {
      watch.cancel();
    }
  }

  /** The whole request failed. What another broker leads by now is fetched from there. */
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

  /** Reports what wants records and is not fetched, although each change should have seen to it; and fetches it. */
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
    const why = position.resting ? 'the pause after its last failure has not ended' : 'no fetch was sent there';
    return `broker ${node} leads it, but ${why}`;
  }
}

/** One ask for each partition: of several positions there the first, for them all if they are at one place. */
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

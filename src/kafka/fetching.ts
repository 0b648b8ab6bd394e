/** Fetches for many positions: all that one broker leads in one long poll, on through deaths, moves and trouble. */
import { every, sleep } from '../base/clock';
import { sayError } from '../base/errors';
import type { Closable } from '../base/lifecycle';
import { OutOfRangeError, type Stored } from '../ports/log';
import { busErrorOf, WireError } from './errors';
import { Position } from './position';
import { Troubles } from './troubles';
import { allGood, pauseMs, type View } from './view';
import type { At, FetchAsk, Fetched, Spot, Via } from './wire';

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
/** One that is cut off from the others leads on for itself, with nothing new: who leads is asked anew so often. */
const leadersMs = 30_000;
/** After trouble that moving on does not mend. */
const restMs = 100;
const failedRestMs = 1_000;
/** That the log ends before what was read is believed after so long. */
const beyondMsMax = 5_000;
/** What came damaged is asked for again for so long, over new connections: it may be whole where it lies. */
const damagedMsMax = 60_000;
/** In an inbox everybody who asks waits behind it, and not for long. */
const damagedInboxMsMax = 2_000;

/** What is under way at one broker. */
interface Poll {
  /** Positions that need not ask before this poll is answered. */
  asked: Set<Position>;
  catchingUp: boolean;
  /** Requests that were not answered in time, less the answers that were quick. */
  slowness: number;
}
type AskedSpot = FetchAsk['partitions'][number] & { readonly members: readonly Position[] };

export class Fetcher implements Closable {
  readonly #positions = new Set<Position>();
  readonly #polls = new Map<number, Poll>();
  readonly #closing = new AbortController();
  readonly #troubles: Troubles;
  #kicked = false;
  #seeking = false;
  #turn = 0;

  constructor(
    private readonly view: View,
    private readonly via: Via,
  ) {
    this.#troubles = new Troubles(view);
  }

  close(): Promise<void> {
    this.#closing.abort();
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
    this.#positions.add(position);
    this.#changed(position);
    return position;
  }

  #changed(position: Position): void {
    if (position.closed) {
      this.#positions.delete(position);
      this.#troubles.over(position);
    }
    if (this.#kicked) return;
    this.#kicked = true;
    queueMicrotask(() => {
      this.#kicked = false;
      this.#kick();
    });
  }

  /** Sees to it that everything that wants records is asked for. */
  #kick(): void {
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
    this.#kick();
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
        if (clock.mono() - this.view.lookedMs >= leadersMs) void this.view.refresh().then(() => this.#kick());
        if (clock.mono() - sentMs < quickMs) poll.slowness = Math.max(0, poll.slowness - 1);
      } catch (error) {
        const late = error instanceof WireError && error.code === 'DEADLINE' && error.uncertain; // connected, that is
        if (late) poll.slowness = Math.min(slownessMax, poll.slowness + 1);
        await this.#unanswered(positions, error, failures++);
      }
    }
    this.#polls.delete(node);
    this.#kick(); // what has another leader now, as somebody else found out, is asked for there
  }

  /** For what came too late for the poll that is under way: a look at what is there already. */
  async #catchUp(node: number, poll: Poll): Promise<void> {
    const late = this.#wantingAt(node).filter((one) => !poll.asked.has(one));
    if (late.length === 0) return;
    poll.catchingUp = true;
    const before = late.map(({ next }) => next);
    try {
      await this.#fetch({ node, via: 'admin' }, late, 0, poll.slowness);
    } catch {
      // The poll will say what is wrong.
    }
    late.forEach((one, i) => {
      if (one.next === before[i]) poll.asked.add(one);
    });
    poll.catchingUp = false;
    this.#kick();
  }

  async #fetch(at: At, positions: readonly Position[], waitMs: number, slowness: number): Promise<void> {
    const bytesMax = Math.max(slowBytesMin, answerBytesMax / 4 ** slowness);
    const share = Math.max(partitionBytesMin, Math.floor(inHandBytes / this.#positions.size));
    const { asks, apart } = askFor(positions, Math.min(share, partitionBytesMax, bytesMax));
    const jumps = new Map(positions.map((position) => [position, position.jumps]));
    const spareMs = Math.min(spareMsMax, spareMsMin * 2 ** slowness);
    const ask = { partitions: asks, maxWaitMs: apart ? 0 : waitMs, bytesMax, spareMs };
    const fetching = this.view.parts.wire.fetch(at, ask, this.#closing.signal);
    const answers = await (slowness === 0 ? fetching : this.#watched(fetching));
    answers.forEach((answer, i) => {
      const asked = asks[i];
      const members = asked?.members.filter((one) => !one.closed && one.jumps === jumps.get(one)) ?? [];
      if (asked) this.#answered(at.node, asked, answer, members);
    });
  }

  /** Meanwhile another broker may lead: then it is asked there, and not when the slow one has had all its time. */
  async #watched<T>(fetching: Promise<T>): Promise<T> {
    const watch = every(this.view.parts.clock, spareMsMin, () => void this.view.refresh().then(() => this.#kick()));
    try {
      return await fetching;
    } finally {
      watch.cancel();
    }
  }

  #answered(node: number, asked: AskedSpot, answer: Fetched, members: readonly Position[]): void {
    const { error } = answer;
    const fits = members.filter(({ next }) => next >= asked.offset && next <= answer.next);
    fits.forEach((position, i) => {
      if (error === null) {
        this.#troubles.over(position);
        // What that broker has there now was written since its log ended before.
        if (position.beyond?.node === node) return this.#lose(position, position.beyond.end, answer.start);
        position.beyond = position.damaged = undefined;
      }
      position.put(i === 0 ? answer.records : answer.records.map(copyOf), answer.next);
    });
    if (error === null) return;
    const ofAll = error.step === 'leader' || (error.fatal && error.until === undefined);
    const affected = ofAll ? members : members.filter((p) => p.next === answer.next);
    if (error.step === 'leader') this.view.doubt(asked, node);
    for (const position of affected) this.#refused(position, error);
  }

  #refused(position: Position, error: WireError): void {
    if (!error.fatal && error.until === undefined) this.#troubles.bad(position, error.message);
    if (error.step === 'leader') void this.#rest(position, () => this.view.refresh(), 0);
    else if (error.step === 'gone') void this.#rest(position, () => this.#findOut(position), restMs);
    else if (error.until !== undefined) this.#unreadable(position, error, error.until);
    else if (error.retriable) void this.#rest(position, undefined, restMs);
    else this.#fail(position, error);
  }

  #fail(position: Position, error: WireError): void {
    position.fail(busErrorOf(error, `reading ${position.topic}/${position.partition}`, 0));
    void this.#rest(position, undefined, failedRestMs);
  }

  /** Nothing is passed that may be read yet: by asking again, or by another member of the group on another Node. */
  #unreadable(position: Position, error: WireError, until: number): void {
    const { clock } = this.view.parts;
    if (error.code === 'UNSUPPORTED_COMPRESSION_TYPE' && this.via === 'work') return this.#fail(position, error);
    if (error.code !== 'CORRUPT_MESSAGE') return this.#skip(position, error, until);
    if (position.damaged?.at !== position.next) position.damaged = { at: position.next, sinceMs: clock.mono() };
    const [longestMs, restsMs] = this.via === 'inbox' ? [damagedInboxMsMax, restMs] : [damagedMsMax, failedRestMs];
    if (clock.mono() - position.damaged.sinceMs >= longestMs) return this.#skip(position, error, until);
    this.#troubles.bad(position, error.message);
    void this.#rest(position, undefined, restsMs);
  }

  /** The whole request failed. */
  async #unanswered(positions: readonly Position[], error: unknown, failures: number): Promise<void> {
    const { clock, random } = this.view.parts;
    const hopeless = error instanceof WireError && !error.retriable;
    for (const position of positions) {
      if (hopeless) position.fail(busErrorOf(error, `reading ${position.topic}`, 0));
      else this.#troubles.bad(position, sayError(error));
    }
    const refreshed = this.view.refresh().then(() => this.#kick());
    await sleep(clock, hopeless ? failedRestMs : pauseMs(random, failures), this.#closing.signal);
    await refreshed;
  }

  /** Leaves it alone until `meanwhile` has ended and a little longer. */
  async #rest(position: Position, meanwhile: (() => Promise<void>) | undefined, atLeastMs: number): Promise<void> {
    const { clock, random } = this.view.parts;
    position.resting = true;
    await meanwhile?.();
    await sleep(clock, Math.max(atLeastMs, pauseMs(random, 0)), this.#closing.signal);
    position.resting = false;
    this.#changed(position);
  }

  #skip(position: Position, error: WireError, until: number): void {
    const { topic, partition, next } = position;
    const what = `${topic}/${partition}/${next}-${until - 1}`;
    this.view.parts.notices.tell({ type: 'dropped', what, reason: error.message });
    position.put([], until);
  }

  /** Nothing can be read at the place: is it before the start, or behind the end? */
  async #findOut(position: Position): Promise<void> {
    const { topic, partition, next, jumps } = position;
    try {
      const node = this.view.mustLead(position);
      const { start, end } = await boundsOf(this.view, position);
      if (position.jumps !== jumps || position.closed || (next >= start && next <= end)) return;
      if (next > end) await this.#beyond(position, { start, end }, node);
      else position.fail(new OutOfRangeError(topic, partition, next, start));
    } catch {
      await this.view.refresh(); // and then it is asked for again
    }
  }

  /**
   * A leader whose log is whole never says so, not even just after a restart: until it has heard how far its replicas
   * are, it answers a fetch of what they all have with nothing, and does not say where its log ends. So either
   * acknowledged records are lost, or this broker leads no more and has not heard of it. Others know, so they are
   * asked; and while it stays so, what is written meanwhile must not hide where it ended.
   */
  async #beyond(position: Position, { start, end }: { start: number; end: number }, node: number): Promise<void> {
    const { clock } = this.view.parts;
    const before = position.beyond ?? { sinceMs: clock.mono(), end };
    position.beyond = { sinceMs: before.sinceMs, end: Math.min(before.end, end), node };
    if (clock.mono() - before.sinceMs < beyondMsMax) await this.view.refresh();
    else this.#lose(position, position.beyond.end, start);
  }

  /** What was read from `end` on is lost; of a topic that was made anew, everything. */
  #lose(position: Position, end: number, start: number): void {
    const { topic, partition, next } = position;
    const goOn = this.view.absences(topic) === position.absences ? end : start;
    const error = new OutOfRangeError(topic, partition, next, start, goOn);
    const fields = { topic, partition, next, start, end };
    const message = `${error.message}: was a replica elected that had not all, or the topic made anew?`;
    this.view.parts.notices.tell({ type: 'log', level: 'error', message, fields });
    position.fail(error);
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

function copyOf(record: Stored): Stored {
  const copy = (bytes: Uint8Array | null): Uint8Array | null => bytes && Uint8Array.from(bytes);
  return { ...record, key: copy(record.key), value: copy(record.value), headers: { ...record.headers } };
}

/** Start and end of a partition, asked of its leader once. Rejects with a WireError. */
export async function boundsOf(view: View, spot: Spot): Promise<{ readonly start: number; readonly end: number }> {
  const at = { node: view.mustLead(spot), via: 'admin' } as const;
  const { topic, partition } = spot;
  const offset = async (time: 'start' | 'end'): Promise<number> => {
    const [answer] = allGood(await view.parts.wire.listOffsets(at, [{ topic, partition, time }]));
    return answer?.offset ?? 0;
  };
  const [start, end] = await Promise.all([offset('start'), offset('end')]);
  return { start, end };
}

/** One simulated process: how it and the world reach each other, while it lives, stands still, or is dead. */
import { AsyncResource } from 'node:async_hooks';
import { sleep, type Clock, type Random, type Timer } from '../base/clock';
import { BusError, type SendOutcome } from '../base/errors';
import { delayOf, errorOf, type Fault, type FaultScript, type Operation } from './faults';

/** What all processes of a world share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  /** How long each way takes; undefined is no time at all. */
  readonly delays: { readonly minMs: number; readonly maxMs: number } | undefined;
  /** How long others take to notice that a process is dead, in ms. */
  readonly crashNoticedMs: number;
  faults: FaultScript | undefined;
}

/** What travels along a lane arrives in the order it left. */
export class Lane {
  atMs = 0;
  waiting = 0;
}

/** Port, method, and what the call is about. */
type Name = readonly [port: Operation['port'], call: string, topic?: string];

/** What others hold for a process as long as it gives signs of life. */
interface Session {
  readonly sessionMs: number;
  readonly lost: () => void;
  timer?: Timer;
}

/** More than this waiting for a frozen process is a test that forgot to thaw it. */
const heldMax = 1_000_000;

/** A script that fails one call this often in a row means to fail it for ever. */
const insistMax = 100;
/** So many tries follow at once, in case only the next one was to fail; then time passes between them. */
const hastyMax = 10;
const insistMsMax = 1_000;

export class Life {
  #state: 'running' | 'frozen' | 'crashed' = 'running';
  #buried = false;
  #opened = 0;
  readonly #held: (() => void)[] = [];
  readonly #sessions = new Set<Session>();
  readonly #counts = new Map<string, number>();
  readonly #deaths: (() => void)[] = [];
  readonly #removals: (() => void)[] = [];
  /** The time as this process sees it: its timers stop with it. */
  readonly clock: Clock;

  constructor(
    readonly name: string,
    readonly around: Surroundings,
  ) {
    const { clock } = around;
    this.clock = {
      now: () => clock.now(),
      mono: () => clock.mono(),
      after: (delayMs, run) => {
        let cancelled = false;
        const timer = clock.after(delayMs, () => this.#enter(() => cancelled || run()));
        return {
          cancel() {
            cancelled = true;
            timer.cancel();
          },
        };
      },
    };
  }

  get state(): 'running' | 'frozen' | 'crashed' {
    return this.#state;
  }

  /** Counts what the process opens, for names. */
  nextNumber(): number {
    return ++this.#opened;
  }

  /** Asks the script about a call; undefined when nothing is to go wrong. Must be followed by what the fault says. */
  fault(port: Operation['port'], call: string, topic?: string): Fault | undefined {
    const counted = `${port}.${call}`;
    const n = (this.#counts.get(counted) ?? 0) + 1;
    this.#counts.set(counted, n);
    return this.around.faults?.({ process: this.name, port, call, n, ...(topic === undefined ? {} : { topic }) });
  }

  /** Carries a call to the world, where `effect` happens, and its outcome back. A dead process never hears of it. */
  call<T>([port, call, topic]: Name, effect: () => T | Promise<T>, lane = new Lane()): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#state === 'crashed') return;
      const fault = this.fault(port, call, topic);
      if (fault === 'crash-before') return this.crash();
      const back = (arrive: () => void): void => this.#travel(new Lane(), this.#drawMs(), () => this.#enter(arrive));
      const failed = (error: unknown): void => back(() => reject(error));
      this.#travel(lane, this.#drawMs() + delayOf(fault), () => {
        if (this.#buried) return; // what a process sent before it died still arrives, but not after its funeral
        try {
          const outcome = this.#perform(`${port}.${call}`, effect, fault);
          if (outcome instanceof Promise) outcome.then((value) => back(() => resolve(value)), failed);
          else back(() => resolve(outcome));
        } catch (error) {
          failed(error);
        }
      });
    });
  }

  /** As {@link call} for what must not get lost: again until it was done. */
  async insist(operation: Name, effect: () => void | Promise<void>, lane?: Lane): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.call(operation, effect, lane);
      } catch (error) {
        if (tries >= insistMax) throw error;
        if (tries >= hastyMax) await sleep(this.around.clock, Math.min(2 ** (tries - hastyMax), insistMsMax));
      }
    }
  }

  #perform<T>(what: string, effect: () => T | Promise<T>, fault: Fault | undefined): T | Promise<T> {
    if (fault === 'disconnect') this.expire();
    if (fault === 'disconnect' || fault === 'drop')
      throw unreachable('unknown', `${what} of ${this.name} was lost on its way`);
    const planned = errorOf(fault);
    if (planned) {
      if (planned.done) void Promise.resolve(effect()).catch(() => undefined); // its own error is never told
      throw planned.error;
    }
    const outcome = effect();
    if (fault === 'double') void Promise.resolve(effect()).catch(() => undefined);
    if (fault === 'crash-after') this.crash();
    return outcome;
  }

  /** Runs `run` in this process soon, never within the caller's turn, in the order of the lane. */
  notify(lane: Lane, run: () => void, delayMs = 0): void {
    this.#travel(lane, this.#drawMs() + delayMs, () => this.#enter(run), true);
  }

  /** A callback of this process that keeps the async context it was handed over in, as one of a socket does. */
  bind<A extends unknown[], R>(callback: (...args: A) => R): (...args: A) => R {
    const bound = new AsyncResource('busbar.memory');
    return (...args) => bound.runInAsyncScope(callback, undefined, ...args);
  }

  /** Calls `lost` once this process has given no sign of life for `sessionMs`, or was noticed to be dead. */
  hold(sessionMs: number, lost: () => void): { end(): void } {
    const session: Session = { sessionMs, lost };
    this.#sessions.add(session);
    return {
      end: () => {
        session.timer?.cancel();
        this.#sessions.delete(session);
      },
    };
  }

  /** Calls `noticed` when others notice that this process is dead. */
  onDeath(noticed: () => void): void {
    this.#deaths.push(noticed);
  }

  /** Calls `removed` when another program removes the announcement of this process. */
  onRemoval(removed: () => void): void {
    this.#removals.push(removed);
  }
  removeAnnouncement(): void {
    for (const removed of this.#removals) removed();
  }

  /** Nothing it awaits ever comes, no callback of it fires; others notice after `crashNoticedMs`. */
  crash(): void {
    if (this.#state === 'crashed') return;
    this.#state = 'crashed';
    this.#held.length = 0;
    this.#travel(
      new Lane(),
      this.around.crashNoticedMs,
      () => {
        this.#buried = true;
        this.expire();
        for (const noticed of this.#deaths) noticed();
      },
      true,
    );
  }

  /** It stands still: nothing reaches it and no timer of it fires until it thaws; its sessions run out meanwhile. */
  freeze(): void {
    if (this.#state !== 'running') return;
    this.#state = 'frozen';
    for (const session of this.#sessions) session.timer = this.around.clock.after(session.sessionMs, session.lost);
  }

  /** It goes on: first with all that waited for it, in order. */
  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    for (const session of this.#sessions) session.timer?.cancel();
    while (this.state === 'running') {
      const next = this.#held.shift();
      if (!next) return;
      next();
    }
  }

  /** Others give up on it at once, although it may live. */
  expire(): void {
    for (const session of this.#sessions) {
      session.timer?.cancel();
      session.lost();
    }
  }

  #enter(run: () => void): void {
    if (this.#state === 'running') run();
    else if (this.#state === 'frozen') {
      if (this.#held.length >= heldMax) throw new Error(`more than ${heldMax} events wait for the frozen ${this.name}`);
      this.#held.push(run);
    }
  }

  #drawMs(): number {
    const { delays, random } = this.around;
    return delays ? delays.minMs + random.next() * (delays.maxMs - delays.minMs) : 0;
  }

  #travel(lane: Lane, delayMs: number, arrive: () => void, later = false): void {
    const { clock } = this.around;
    const nowMs = clock.now();
    const atMs = Math.max(nowMs + delayMs, lane.atMs);
    if (atMs <= nowMs && lane.waiting === 0) {
      if (later) queueMicrotask(arrive);
      else arrive();
      return;
    }
    lane.atMs = atMs;
    lane.waiting++;
    clock.after(atMs - nowMs, () => {
      lane.waiting--;
      arrive();
    });
  }
}

export function unreachable(outcome: SendOutcome, message: string): BusError {
  return new BusError('Unreachable', message, { outcome, waitedMs: 0 });
}

/** Simulates one process and its messages to and from the world, while it is running, frozen or dead. */
import { AsyncResource } from 'node:async_hooks';
import { sleep, type Clock, type Random, type Timer } from '../base/clock';
import { BusError, type SendOutcome } from '../base/errors';
import { delayOf, errorOf, type Fault, type FaultScript, type Operation } from './faults';

/** State that all processes of a world share. */
export interface Surroundings {
  readonly clock: Clock;
  readonly random: Random;
  /** Delay of each direction; undefined means none. */
  readonly delays: { readonly minMs: number; readonly maxMs: number } | undefined;
  /** Delay in ms until other processes notice that a process is dead. */
  readonly crashNoticedMs: number;
  faults: FaultScript | undefined;
}

/** Channel that preserves order: messages arrive in the order in which they were sent. */
export class DeliveryOrder {
  atMs = 0;
  waiting = 0;
}

/** Port, method, and topic of a call. */
type Name = readonly [port: Operation['port'], call: string, topic?: string];

/** Session that other processes keep for a process. It lasts while the process shows that it is alive. */
interface Session {
  readonly sessionMs: number;
  readonly lost: () => void;
  timer?: Timer;
}

/** Limits the events that wait for a frozen process. More mean that a test forgot to thaw it. */
const heldMax = 1_000_000;

/** Limits the retries of one call. A script that fails it this often in a row means to fail it permanently. */
const insistMax = 100;
/** Retries that follow immediately, in case only the next one was to fail. Later ones are delayed. */
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
  /** Clock of this process: its timers stop while it is frozen. */
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

  /** Returns the next number of the things that the process opened, for names. */
  nextNumber(): number {
    return ++this.#opened;
  }

  /** Returns the fault of a call from the script, or undefined if none is planned. The caller must apply the fault. */
  fault(port: Operation['port'], call: string, topic?: string): Fault | undefined {
    const counted = `${port}.${call}`;
    const n = (this.#counts.get(counted) ?? 0) + 1;
    this.#counts.set(counted, n);
    return this.around.faults?.({ process: this.name, port, call, n, ...(topic === undefined ? {} : { topic }) });
  }

  /**
   * Carries a call to the world, where `effect` runs, and carries its outcome back. A dead process never receives the
   * outcome.
   */
  call<T>([port, call, topic]: Name, effect: () => T | Promise<T>, order = new DeliveryOrder()): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#state === 'crashed') return;
      const fault = this.fault(port, call, topic);
      if (fault === 'crash-before') return this.crash();
      const back = (arrive: () => void): void =>
        this.#travel(new DeliveryOrder(), this.#drawMs(), () => this.#enter(arrive));
      const failed = (error: unknown): void => back(() => reject(error));
      this.#travel(order, this.#drawMs() + delayOf(fault), () => {
        if (this.#buried) return; // messages sent before a crash still arrive, but not after the crash was noticed
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

  /** Does the same as {@link call} for a call that must not be lost: it is retried up to `insistMax` times. */
  async insist(operation: Name, effect: () => void | Promise<void>, order?: DeliveryOrder): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.call(operation, effect, order);
      } catch (error) {
        if (tries >= insistMax) throw error;
        if (tries >= hastyMax) await sleep(this.around.clock, Math.min(2 ** (tries - hastyMax), insistMsMax));
      }
    }
  }

  #perform<T>(what: string, effect: () => T | Promise<T>, fault: Fault | undefined): T | Promise<T> {
    if (fault === 'disconnect') this.expire();
    if (fault === 'disconnect' || fault === 'drop')
      throw unreachable('unknown', `${what} of ${this.name} was lost in transit`);
    const planned = errorOf(fault);
    if (planned) {
      if (planned.done) void Promise.resolve(effect()).catch(() => undefined); // its own error is never reported
      throw planned.error;
    }
    const outcome = effect();
    if (fault === 'double') void Promise.resolve(effect()).catch(() => undefined);
    if (fault === 'crash-after') this.crash();
    return outcome;
  }

  /** Runs `run` in this process after the caller's turn, in the given delivery order. */
  notify(order: DeliveryOrder, run: () => void, delayMs = 0): void {
    this.#travel(order, this.#drawMs() + delayMs, () => this.#enter(run), true);
  }

  /** Binds a callback of this process to the async context in which it was passed, as a socket does. */
  bind<A extends unknown[], R>(callback: (...args: A) => R): (...args: A) => R {
    const bound = new AsyncResource('busbar.memory');
    return (...args) => bound.runInAsyncScope(callback, undefined, ...args);
  }

  /** Calls `lost` once this process has been frozen for `sessionMs`, or when its sessions end, as after a crash. */
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

  /** Calls `noticed` when other processes notice that this one is dead. */
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

  /**
   * Crashes the process: its pending promises never settle, and its callbacks never run. Other processes notice after
   * `crashNoticedMs`.
   */
  crash(): void {
    if (this.#state === 'crashed') return;
    this.#state = 'crashed';
    this.#held.length = 0;
    this.#travel(
      new DeliveryOrder(),
      this.around.crashNoticedMs,
      () => {
        this.#buried = true;
        this.expire();
        for (const noticed of this.#deaths) noticed();
      },
      true,
    );
  }

  /**
   * Freezes the process: nothing reaches it and its timers do not fire until it thaws. Its sessions expire meanwhile.
   */
  freeze(): void {
    if (this.#state !== 'running') return;
    this.#state = 'frozen';
    for (const session of this.#sessions) session.timer = this.around.clock.after(session.sessionMs, session.lost);
  }

  /** Resumes a frozen process. Events that waited for it run first, in order. */
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

  /** Ends its sessions immediately, although the process can be running. */
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

  #travel(order: DeliveryOrder, delayMs: number, arrive: () => void, later = false): void {
    const { clock } = this.around;
    const nowMs = clock.now();
    const atMs = Math.max(nowMs + delayMs, order.atMs);
    if (atMs <= nowMs && order.waiting === 0) {
      if (later) queueMicrotask(arrive);
      else arrive();
      return;
    }
    order.atMs = atMs;
    order.waiting++;
    clock.after(atMs - nowMs, () => {
      order.waiting--;
      arrive();
    });
  }
}

export function unreachable(outcome: SendOutcome, message: string): BusError {
  return new BusError('Unreachable', message, { outcome, waitedMs: 0 });
}

/**
 * Wakes readers that wait for records: immediately in this process, with a doorbell in other processes. A poll covers
 * lost rings.
 */
import { every, type Clock, type Timer } from '../../base/clock';
import { onAbort } from '../../base/lifecycle';
import type { Store } from '../../disk/lmdb';
import { behind, keyOf, kinds, namesIn } from './keys';
import type { PeerProcesses } from './peer-processes';
import { mark } from './topics';

/** Longest delay until a record is noticed when no bell rings. */
const pollMs = 100;
/** Time for which the list of listeners is reused. A new listener finds records by its own poll until then. */
const listMs = 1000;
/**
 * Least time between two rings of a topic, per listener, so that ringing does not slow appends down. With 200
 * listeners, each is rung at most every 10 ms.
 */
const gapMsPerListener = 0.05;

interface Waiter {
  readonly ready: () => boolean;
  readonly wake: () => void;
}
interface Bell {
  addresses: readonly string[];
  listedMs: number;
  rungMs: number;
  later: Timer | undefined;
}

export interface NotifierParts {
  readonly log: Store;
  readonly live: Store;
  readonly clock: Clock;
  readonly peers: PeerProcesses;
  /** Distinguishes this open log from other ones of the same process. */
  readonly id: string;
}

export class Notifier {
  private readonly waiting = new Map<string, Set<Waiter>>();
  private readonly watched = new Map<string, number>();
  private readonly bells = new Map<string, Bell>();
  private poll: Timer | undefined;
  /** The last transaction that the previous poll found. */
  private polled: number | undefined;
  private readonly unwatch: () => void;

  constructor(private readonly parts: NotifierParts) {
    this.unwatch = parts.peers.onRing((topic) => this.check(topic));
  }

  /** Requests other processes to ring for `topic`, until the returned function is called. */
  watch(topic: string): () => void {
    const count = this.watched.get(topic) ?? 0;
    this.watched.set(topic, count + 1);
    if (count === 0) this.write(topic, mark);
    let on = true;
    return () => {
      if (!on) return;
      on = false;
      const left = (this.watched.get(topic) ?? 1) - 1;
      if (left > 0) this.watched.set(topic, left);
      else if (this.watched.delete(topic)) this.write(topic, null);
    };
  }

  private write(topic: string, value: Buffer | null): void {
    const { live, peers, id } = this.parts;
    // Best effort: if the write fails, the poll finds new records.
    live.write(null, [{ key: keyOf(kinds.watch, [topic, peers.address, id]), value }]).catch(() => undefined);
  }

  /** Resolves when `ready` returns true, or one of `signals` aborts. */
  until(topic: string, ready: () => boolean, signals: readonly AbortSignal[]): Promise<void> {
    if (signals.some((signal) => signal.aborted)) return Promise.resolve();
    return new Promise((resolve) => {
      const waiters = this.waiting.get(topic) ?? new Set();
      this.waiting.set(topic, waiters);
      const wake = (): void => {
        waiters.delete(waiter);
        if (waiters.size === 0 && this.waiting.get(topic) === waiters) this.waiting.delete(topic);
        for (const ignore of ignores) ignore();
        resolve();
      };
      const waiter = { ready, wake };
      waiters.add(waiter);
      const ignores = signals.map((signal) => onAbort(signal, wake));
      this.poll ??= every(this.parts.clock, pollMs, () => this.checkAll());
    });
  }

  /**
   * Wakes readers after this process appended records to `topic`. Other processes must be able to see the records
   * already.
   */
  appended(topic: string): void {
    this.check(topic);
    const { clock } = this.parts;
    const bell = this.bellOf(topic);
    if (bell.addresses.length === 0 || bell.later !== undefined) return;
    const waitMs = bell.rungMs + bell.addresses.length * gapMsPerListener - clock.mono();
    if (waitMs <= 0) this.ring(topic, bell);
    else bell.later = clock.after(waitMs, () => this.ring(topic, bell));
  }

  private ring(topic: string, bell: Bell): void {
    bell.later = undefined;
    bell.rungMs = this.parts.clock.mono();
    this.parts.peers.ring(bell.addresses, topic);
  }

  private bellOf(topic: string): Bell {
    const bell = this.bells.get(topic) ?? { addresses: [], listedMs: -listMs, rungMs: 0, later: undefined };
    this.bells.set(topic, bell);
    const nowMs = this.parts.clock.mono();
    if (nowMs - bell.listedMs >= listMs) {
      bell.listedMs = nowMs;
      bell.addresses = this.listeners(topic);
    }
    return bell;
  }

  /** Returns the listeners of a topic, or none if they cannot be read. They then find new records by their own poll. */
  private listeners(topic: string): readonly string[] {
    try {
      return this.listenersNow(topic);
    } catch {
      return [];
    }
  }
  private listenersNow(topic: string): readonly string[] {
    const { live, peers } = this.parts;
    const prefix = keyOf(kinds.watch, [topic]);
    const addresses = new Set<string>();
    const dead: Buffer[] = [];
    live.refresh();
    live.scan(prefix, behind(prefix), (key) => {
      const address = namesIn(key)[1] ?? '';
      if (address === peers.address) return true;
      if (peers.alive(address)) addresses.add(address);
      else dead.push(key);
      return true;
    });
    if (dead.length > 0)
      live
        .write(
          null,
          dead.map((key) => ({ key, value: null })),
        )
        .catch(() => undefined);
    return [...addresses];
  }

  private check(topic: string): void {
    const waiters = this.waiting.get(topic);
    if (waiters !== undefined) this.wakeReady(waiters);
  }

  private checkAll(): void {
    if (this.waiting.size === 0) {
      this.poll?.cancel();
      this.poll = undefined;
      return;
    }
    // Usually no process has written anything since the last poll; nothing else is then read.
    const last = this.parts.log.lastTransaction();
    if (last !== undefined && last === this.polled) return;
    this.polled = last;
    for (const waiters of this.waiting.values()) this.wakeReady(waiters);
  }

  /**
   * Wakes the waiters that are ready. If the log cannot be read, it wakes all of them, so that they detect and report
   * the cause.
   */
  private wakeReady(waiters: Set<Waiter>): void {
    try {
      this.parts.log.refresh();
      for (const waiter of waiters) if (waiter.ready()) waiter.wake();
    } catch {
      for (const waiter of waiters) waiter.wake();
    }
  }

  /** Stops, and wakes all waiters, so that each detects its own end. */
  close(): void {
    this.unwatch();
    this.poll?.cancel();
    for (const bell of this.bells.values()) bell.later?.cancel();
    for (const topic of this.watched.keys()) this.write(topic, null);
    for (const waiters of this.waiting.values()) for (const waiter of waiters) waiter.wake();
  }
}

/** Heartbeats of a member, and the moment from which on without them nothing may be its own any more. */
import type { Timer } from '../../base/clock';
import { WireError } from '../protocol/errors';
import type { View } from '../cluster/metadata';
import type { MemberAs } from '../protocol/types';

export interface PulseParts {
  readonly view: View;
  readonly sessionMs: number;
  /** How long the group waits for members that do not join again. */
  readonly rebalanceMs: number;
  /** As whom to give a sign; undefined when there is nobody yet. */
  readonly who: () => MemberAs | undefined;
  /** A heartbeat was refused or not answered. */
  readonly missed: (error: WireError, as: MemberAs) => void;
  /** Others may have what was ours. */
  readonly late: (silentMs: number) => void;
}

/** Of the session: nothing is ours after so much of it without a sign that the group knows us. */
const fenceShare = 0.8;
/**
 * The heartbeat interval of a stable group is a share of the session. Members detect a rebalance by a heartbeat, so the
 * share is small: at the default session of 10 s it is 250 ms, and an instance that leaves has handed over its
 * partitions within half a second.
 */
const intervalShare = 1 / 40;
/** Short sessions need fewer heartbeats in each: a share of 1/40 of a second would only load the coordinator. */
const shortIntervalMs = 250;
const shortSessionShare = 1 / 20;
/** The longest interval, Kafka's own default, so that a rebalance does not wait for a long session. */
const beatIntervalMsMax = 3_000;
/** The interval while partitions move between members, or the coordinator is in doubt. */
const hurriedIntervalMs = 100;

/** Returns the interval between two heartbeats of a member whose group is stable. */
function steadyIntervalMs(sessionMs: number): number {
  const leastMs = Math.min(shortIntervalMs, sessionMs * shortSessionShare);
  return Math.min(beatIntervalMsMax, Math.max(leastMs, sessionMs * intervalShare));
}

export class Pulse {
  /** When the group last counted us in: as settled, and as one that may still wait for others. */
  #goodMs = -Infinity;
  #aliveMs = -Infinity;
  #beating = false;
  #tick: Timer | undefined;
  #fence: Timer | undefined;
  #stopped = false;
  /** Something is moving: look more often. */
  hurried = false;

  constructor(private readonly parts: PulseParts) {}

  /** The next heartbeat comes after the usual time, or soon. */
  schedule(soon = this.hurried): void {
    if (this.#stopped) return;
    const { view, sessionMs } = this.parts;
    const intervalMs = steadyIntervalMs(sessionMs);
    this.#tick?.cancel();
    this.#tick = view.parts.clock.after(soon ? Math.min(hurriedIntervalMs, intervalMs) : intervalMs, () => {
      this.schedule();
      void this.#beat();
    });
  }

  async #beat(): Promise<void> {
    const as = this.parts.who();
    if (this.#beating || as === undefined) return;
    this.#beating = true;
    const { view, sessionMs } = this.parts;
    try {
      const node = await view.coordinator(as.group);
      const sentMs = view.parts.clock.mono();
      try {
        await view.parts.wire.heartbeat({ node, via: 'group:beats' }, as, Math.max(sessionMs / 4, 100));
        this.good(sentMs);
      } catch (error) {
        // It waits for others to join, but counts us in.
        if (error instanceof WireError && error.step === 'rejoin') this.#alive(sentMs);
        throw error;
      }
    } catch (error) {
      if (!this.#stopped && error instanceof WireError) this.parts.missed(error, as);
    }
    this.#beating = false;
  }

  /** What was sent then was answered as by a group that we are a settled member of. */
  good(sentMs: number): void {
    this.#goodMs = Math.max(this.#goodMs, sentMs);
    this.#alive(sentMs);
  }
  #alive(sentMs: number): void {
    this.#aliveMs = Math.max(this.#aliveMs, sentMs);
    if (!this.#stopped) this.#setFence();
  }
  /**
   * The timer is set again as long as its time has not come: without it a member that starts nothing is never fenced.
   */
  #setFence(): void {
    const { clock } = this.parts.view.parts;
    this.#fence?.cancel();
    this.#fence = clock.after(Math.max(1, this.#fenceAtMs - clock.mono()), () => {
      if (clock.mono() < this.#fenceAtMs) this.#setFence();
      else this.check();
    });
  }

  /** Whoever is waited for in a join is given up after the time for that, heartbeats or not. */
  get #fenceAtMs(): number {
    const { sessionMs, rebalanceMs } = this.parts;
    return Math.min(this.#aliveMs + sessionMs * fenceShare, this.#goodMs + rebalanceMs * fenceShare);
  }

  /** To be called before anything is started: timers may be late. */
  check(): void {
    const { clock } = this.parts.view.parts;
    const nowMs = clock.mono();
    if (nowMs >= this.#fenceAtMs) this.parts.late(Math.round(nowMs - this.#aliveMs));
  }

  stop(): void {
    this.#stopped = true;
    this.#tick?.cancel();
    this.#fence?.cancel();
  }
}

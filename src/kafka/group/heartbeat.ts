/** Sends a member's heartbeats, and fences the member when none has succeeded for most of its session. */
import type { Timer } from '../../base/clock';
import { KafkaError } from '../protocol/errors';
import type { ClusterMetadata } from '../cluster/metadata';
import type { MemberIdentity } from '../protocol/types';

export interface HeartbeatParts {
  readonly metadata: ClusterMetadata;
  readonly sessionMs: number;
  /** Time for which the group waits for its members to rejoin. */
  readonly rebalanceMs: number;
  /** Returns the member id and the generation to send. Undefined while the instance is not a member. */
  readonly identity: () => MemberIdentity | undefined;
  /** Called when a heartbeat was rejected or not answered. */
  readonly missed: (error: KafkaError, as: MemberIdentity) => void;
  /** Called when other members can own the partitions of this member. */
  readonly overdue: (silentMs: number) => void;
}

/**
 * Share of the session after which a member without a successful heartbeat is fenced. It is below 1, so that the member
 * stops before its partitions are assigned to another one.
 */
const fenceShare = 0.8;
/**
 * The heartbeat interval of a stable group is a share of the session. Members detect a rebalance by a heartbeat, so the
 * share is small: 250 ms at the default session of 10 s. An instance that leaves has then handed over its partitions
 * within half a second.
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

export class Heartbeat {
  /**
   * Send time of the last request that proved the membership: of a settled member, and of one that can be waiting for a
   * rebalance.
   */
  #goodMs = -Infinity;
  #aliveMs = -Infinity;
  #beating = false;
  #tick: Timer | undefined;
  #fence: Timer | undefined;
  #stopped = false;
  /** True while partitions move between members, which needs a shorter interval. */
  hurried = false;

  constructor(private readonly parts: HeartbeatParts) {}

  /** Schedules the next heartbeat after the usual interval, or after the short one. */
  schedule(soon = this.hurried): void {
    if (this.#stopped) return;
    const { metadata, sessionMs } = this.parts;
    const intervalMs = steadyIntervalMs(sessionMs);
    this.#tick?.cancel();
    this.#tick = metadata.parts.clock.after(soon ? Math.min(hurriedIntervalMs, intervalMs) : intervalMs, () => {
      this.schedule();
      void this.#beat();
    });
  }

  async #beat(): Promise<void> {
    const as = this.parts.identity();
    if (this.#beating || as === undefined) return;
    this.#beating = true;
    const { metadata, sessionMs } = this.parts;
    try {
      const node = await metadata.coordinator(as.group);
      const sentMs = metadata.parts.clock.mono();
      try {
        await metadata.parts.client.heartbeat({ node, channel: 'group:beats' }, as, Math.max(sessionMs / 4, 100));
        this.good(sentMs);
      } catch (error) {
        // The group waits for other members to rejoin, but counts this member as alive.
        if (error instanceof KafkaError && error.step === 'rejoin') this.#alive(sentMs);
        throw error;
      }
    } catch (error) {
      if (!this.#stopped && error instanceof KafkaError) this.parts.missed(error, as);
    }
    this.#beating = false;
  }

  /** Records that the group answered a request, sent at `sentMs`, as one of a settled member. */
  good(sentMs: number): void {
    this.#goodMs = Math.max(this.#goodMs, sentMs);
    this.#alive(sentMs);
  }
  #alive(sentMs: number): void {
    this.#aliveMs = Math.max(this.#aliveMs, sentMs);
    if (!this.#stopped) this.#setFence();
  }
  /**
   * Sets the timer, and sets it again if its time was extended. Without it, a member that starts no work is never
   * fenced.
   */
  #setFence(): void {
    const { clock } = this.parts.metadata.parts;
    this.#fence?.cancel();
    this.#fence = clock.after(Math.max(1, this.#fenceAtMs - clock.mono()), () => {
      if (clock.mono() < this.#fenceAtMs) this.#setFence();
      else this.check();
    });
  }

  /**
   * Time at which the member is fenced. The group removes a member that does not rejoin in time, even if it sends
   * heartbeats.
   */
  get #fenceAtMs(): number {
    const { sessionMs, rebalanceMs } = this.parts;
    return Math.min(this.#aliveMs + sessionMs * fenceShare, this.#goodMs + rebalanceMs * fenceShare);
  }

  /** Fences the member if its time has passed. Called before any work starts, because timers can be overdue. */
  check(): void {
    const { clock } = this.parts.metadata.parts;
    const nowMs = clock.mono();
    if (nowMs >= this.#fenceAtMs) this.parts.overdue(Math.round(nowMs - this.#aliveMs));
  }

  stop(): void {
    this.#stopped = true;
    this.#tick?.cancel();
    this.#fence?.cancel();
  }
}

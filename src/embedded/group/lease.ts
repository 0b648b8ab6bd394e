/**
 * Renews the lease of an open log, and watches the leases of other logs. Leases are counters, so clocks of two
 * processes are never compared.
 */
import type { Clock, Timer } from '../../base/clock';
import type { Store } from '../../disk/lmdb';
import { keyOf, kinds } from '../store/keys';

/** Renewals in one session. */
const renewals = 5;
/**
 * Part of the session after which a member fences itself. Other members wait for the full session, so they never remove
 * it earlier.
 */
const ownPart = 0.9;
/**
 * A longer interval between two looks means that this process was itself blocked. It must then not blame other members.
 */
const lookMsMax = 2000;

interface Seen {
  readonly count: number;
  readonly sinceMs: number;
}

/** A member that must stop when its lease was not renewed in time. */
export interface Leased {
  readonly sessionMs: number;
  late(): void;
}

export class Lease {
  readonly key: Buffer;
  private readonly leased = new Set<Leased>();
  private count = 0;
  private renewedMs: number;
  private everyMs = Infinity;
  private timer: Timer | undefined;
  private ended = false;
  private readonly seen = new Map<string, Seen>();
  private lookedMs: number;

  constructor(
    private readonly live: Store,
    private readonly clock: Clock,
    id: string,
  ) {
    this.key = leaseKey(id);
    this.renewedMs = clock.mono();
    this.lookedMs = clock.mono();
  }

  /** Resolves when other processes can see the lease. From then on it is renewed in time, or `leased` is notified. */
  async keep(leased: Leased): Promise<void> {
    this.everyMs = Math.min(this.everyMs, leased.sessionMs / renewals);
    await this.live.within(this.renew());
    this.leased.add(leased);
    this.schedule();
  }
  drop(leased: Leased): void {
    this.leased.delete(leased);
  }

  /** Returns whether no other member can have removed this one yet. */
  fresh(sessionMs: number): boolean {
    return this.clock.mono() - this.renewedMs < sessionMs * ownPart;
  }
  /** Time since the last renewal in ms, for messages. */
  get silentMs(): number {
    return Math.round(this.clock.mono() - this.renewedMs);
  }

  private async renew(): Promise<void> {
    const startMs = this.clock.mono();
    this.count += 1;
    await this.live.write(null, [{ key: this.key, value: Buffer.from([1]), version: this.count }]);
    // A member that was silent for too long can have been removed before this renewal. The renewal does not undo that.
    for (const leased of this.leased) if (!this.fresh(leased.sessionMs)) leased.late();
    this.renewedMs = startMs;
  }

  private schedule(): void {
    if (this.ended) return;
    this.timer?.cancel();
    this.timer = this.clock.after(this.everyMs, () => {
      // A failed renewal makes the lease stale, which is checked before anything is started.
      this.renew().then(
        () => this.schedule(),
        () => this.schedule(),
      );
    });
  }

  /**
   * Returns the time in ms for which this process has seen no renewal of another log's lease. `count` is its current
   * counter, or undefined if there is no lease. A write that removes a member must be guarded by it.
   */
  look(id: string): { readonly count: number | undefined; readonly silentMs: number } {
    const nowMs = this.clock.mono();
    if (nowMs - this.lookedMs > lookMsMax) this.seen.clear();
    this.lookedMs = nowMs;
    const count = this.live.version(leaseKey(id));
    if (count === undefined) return { count, silentMs: Infinity };
    const seen = this.seen.get(id);
    if (seen === undefined) this.forgetEnded();
    if (seen?.count === count) return { count, silentMs: nowMs - seen.sinceMs };
    this.seen.set(id, { count, sinceMs: nowMs });
    return { count, silentMs: 0 };
  }
  /** Forgets the leases that ended. Each log that opens has a new id, so the map would otherwise grow forever. */
  private forgetEnded(): void {
    for (const id of this.seen.keys()) if (this.live.version(leaseKey(id)) === undefined) this.seen.delete(id);
  }

  async close(): Promise<void> {
    this.ended = true;
    this.timer?.cancel();
    if (this.count > 0) await this.live.write(null, [{ key: this.key, value: null }]).catch(() => undefined);
  }
}

export function leaseKey(id: string): Buffer {
  return keyOf(kinds.lease, [id]);
}

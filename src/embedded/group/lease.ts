/** The sign of life of an open log, and the watch over others': by a counter, so that no two clocks are compared. */
import type { Clock, Timer } from '../../base/clock';
import type { Store } from '../../disk/lmdb';
import { keyOf, kinds } from '../store/keys';

/** Signs of life in one session. */
const renewals = 5;
/** Part of the session after which we count ourselves out; the others wait for all of it, so they are never earlier. */
const ownPart = 0.9;
/** Who looks more rarely than this was held up itself, and must not blame others for it. */
const lookMsMax = 2000;

interface Seen {
  readonly count: number;
  readonly sinceMs: number;
}

/** Who must stop when there was no sign of life for too long. */
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

  /** Resolves when others can see that we are alive; from then on they do in time, or `leased` hears of it. */
  async keep(leased: Leased): Promise<void> {
    this.everyMs = Math.min(this.everyMs, leased.sessionMs / renewals);
    await this.live.within(this.renew());
    this.leased.add(leased);
    this.schedule();
  }
  drop(leased: Leased): void {
    this.leased.delete(leased);
  }

  /** Whether nobody can have given us up yet. */
  fresh(sessionMs: number): boolean {
    return this.clock.mono() - this.renewedMs < sessionMs * ownPart;
  }
  /** For messages: how long ago the last sign of life was, in ms. */
  get silentMs(): number {
    return Math.round(this.clock.mono() - this.renewedMs);
  }

  private async renew(): Promise<void> {
    const startMs = this.clock.mono();
    this.count += 1;
    await this.live.write(null, [{ key: this.key, value: Buffer.from([1]), version: this.count }]);
    // Whoever was silent for too long may have been given up before this sign came through: it does not undo that.
    for (const leased of this.leased) if (!this.fresh(leased.sessionMs)) leased.late();
    this.renewedMs = startMs;
  }

  private schedule(): void {
    if (this.ended) return;
    this.timer?.cancel();
    this.timer = this.clock.after(this.everyMs, () => {
      // A failure shows as staleness, which is looked at before anything is started.
      this.renew().then(
        () => this.schedule(),
        () => this.schedule(),
      );
    });
  }

  /**
   * How long the lease of another log has not moved, as far as we saw it, in ms. Its count now is what a write
   * that counts it out must be guarded by; undefined when there is none.
   */
  look(id: string): { readonly count: number | undefined; readonly silentMs: number } {
    const nowMs = this.clock.mono();
    if (nowMs - this.lookedMs > lookMsMax) this.seen.clear();
    this.lookedMs = nowMs;
    const count = this.live.version(leaseKey(id));
    if (count === undefined) return { count, silentMs: Infinity };
    const seen = this.seen.get(id);
    if (seen?.count === count) return { count, silentMs: nowMs - seen.sinceMs };
    this.seen.set(id, { count, sinceMs: nowMs });
    return { count, silentMs: 0 };
  }
  forget(id: string): void {
    this.seen.delete(id);
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

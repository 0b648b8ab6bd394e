/** Counts the failed rounds of a member, and reports when it is not a member for long, and when it is one again. */
import { errorMessage } from '../../base/errors';
import type { ClusterMetadata } from '../cluster/metadata';
import { pauseMs } from '../cluster/retry';

/** Time without membership after which the failure is reported. */
const reportAfterMs = 5_000;
/** Maximum pause before a failed round is repeated. */
const retryMsMax = 1_000;

export class MemberHealth {
  #failures = 0;
  /** Time of the first failure since the last completed round. */
  #failingMs: number | undefined;
  #reported = false;

  constructor(
    private readonly metadata: ClusterMetadata,
    private readonly group: string,
  ) {}

  /** Records a failed round. */
  failed(): void {
    this.#failingMs ??= this.metadata.parts.clock.mono();
    this.#failures++;
  }
  /** Records a completed round. */
  completed(): void {
    this.#failures = 0;
    this.#failingMs = undefined;
    this.report(true, 'it is a member again');
  }

  /** Reports a failure that has lasted for long. If no broker responds, the cluster metadata reports that instead. */
  reportLasting(error: unknown): void {
    const { clock } = this.metadata.parts;
    const forMs = this.#failingMs === undefined ? 0 : Math.round(clock.mono() - this.#failingMs);
    if (forMs >= reportAfterMs && !this.metadata.failing)
      this.report(false, `not a member for ${forMs} ms: ${errorMessage(error)}`);
  }
  /** Emits a notice if the state has changed. */
  report(ok: boolean, reason: string): void {
    if (ok !== this.#reported) return;
    this.#reported = !ok;
    this.metadata.parts.notices.emit({ type: 'state', part: `group ${this.group}`, ok, reason });
  }

  /** Returns the pause before the next round. */
  get retryPauseMs(): number {
    return pauseMs(this.metadata.parts.random, this.#failures - 1, retryMsMax);
  }
}

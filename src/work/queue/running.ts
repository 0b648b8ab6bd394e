/** Messages of a partition that have started and not ended, and the wait for their end. */
import type { Clock, Timer } from '../../base/clock';
import type { Message } from '../message';

export class RunningMessages {
  readonly all = new Set<Message>();
  #idle: (() => void) | undefined;

  add(message: Message): void {
    this.all.add(message);
  }
  remove(message: Message): void {
    this.all.delete(message);
    if (this.all.size === 0) this.#idle?.();
  }

  /** Resolves when no message runs, after `waitMs`, or when one of `ends` resolves. */
  async ended(clock: Clock, waitMs: number, ends: readonly Promise<void>[]): Promise<void> {
    if (this.all.size === 0) return;
    let timer: Timer | undefined;
    await Promise.race([
      new Promise<void>((resolve) => (this.#idle = resolve)),
      new Promise<void>((resolve) => (timer = clock.after(waitMs, resolve))),
      ...ends,
    ]);
    timer?.cancel();
  }

  /** Returns the offsets of messages whose handler was called. With `announced`, also of those that await a commit. */
  offsets(announced: boolean): ReadonlySet<number> {
    const running = [...this.all].filter((message) => message.context || (announced && message.announced));
    return new Set(running.map(({ offset }) => offset));
  }
}

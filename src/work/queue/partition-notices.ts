/** Reports what happens to one partition of a queue: who owns it, whether it can be read, and what holds it up. */
import type { Notices } from '../../base/notices';
import { LostError } from '../../ports/log';
import type { Message } from '../message';

export class PartitionNotices {
  #unreadable = false;

  constructor(
    private readonly notices: Notices,
    private readonly queue: string,
    private readonly partition: number,
  ) {}

  /** `why` is the reason of the signal of a partition that is lost. */
  change(change: 'taken' | 'given' | 'lost', why?: unknown): void {
    const { queue, partition } = this;
    const reason = why instanceof LostError ? why.reason : 'its commit was refused';
    const notice = { type: 'partition', queue, partition, change } as const;
    this.notices.tell(change === 'lost' ? { ...notice, reason } : notice);
    if (change !== 'taken') this.reading(true, 'it is not here any more');
  }

  reading(ok: boolean, reason: string): void {
    if (ok && !this.#unreadable) return;
    this.#unreadable = !ok;
    const part = `partition ${this.queue}/${this.partition}` as const;
    this.notices.tell({ type: 'state', part, ok, reason });
  }

  received({ entry, id, envelope }: Message): void {
    this.notices.tell({ type: 'received', kind: envelope?.kind ?? 'work', entry, id });
  }

  /** A message waits, and maybe others behind it. */
  stuck(reason: string): void {
    this.notices.tell({ type: 'stuck', queue: this.queue, partition: this.partition, reason });
  }
}

/** Reports the events of one partition of a queue: changes of its owner, failed reads, and messages that block it. */
import type { Notices } from '../../base/notices';
import { PartitionLostError } from '../../ports/log';
import type { Message } from '../message';

export class PartitionNotices {
  #unreadable = false;

  constructor(
    private readonly notices: Notices,
    private readonly queue: string,
    private readonly partition: number,
  ) {}

  /** Reports a change of ownership. `why` is the abort reason of a lost partition's signal. */
  change(change: 'taken' | 'given' | 'lost', why?: unknown): void {
    const { queue, partition } = this;
    const reason = why instanceof PartitionLostError ? why.reason : 'its commit was refused';
    const notice = { type: 'partition', queue, partition, change } as const;
    this.notices.emit(change === 'lost' ? { ...notice, reason } : notice);
    if (change !== 'taken') this.reading(true, 'this instance no longer owns it');
  }

  reading(ok: boolean, reason: string): void {
    if (ok && !this.#unreadable) return;
    this.#unreadable = !ok;
    const part = `partition ${this.queue}/${this.partition}` as const;
    this.notices.emit({ type: 'state', part, ok, reason });
  }

  received({ entry, id, envelope }: Message): void {
    this.notices.emit({ type: 'received', kind: envelope?.kind ?? 'work', entry, id });
  }

  get watched(): boolean {
    return this.notices.watched;
  }

  /** Reports a record that was not handled. */
  dropped(what: string, reason: string, about: { readonly entry?: string; readonly id?: string } = {}): void {
    this.notices.emit({ type: 'dropped', what, reason, ...about });
  }
  /** Reports offsets that the log has deleted before they were read. */
  deleted(topic: string, from: number, last: number): void {
    this.dropped(`${topic}/${this.partition}/${from}-${last}`, 'they are no longer in the log');
  }

  /** Reports a message that waits, possibly with later messages behind it. */
  stuck(reason: string): void {
    this.notices.emit({ type: 'stuck', queue: this.queue, partition: this.partition, reason });
  }
}

/** Parks the messages of a queue: retries transient failures, and parks a stub when the whole record is rejected. */
import { sleep } from '../../base/clock';
import { outlookOf, errorMessage } from '../../base/errors';
import type { Append } from '../../ports/log';
import { placeOf, type Message } from '../message';
import { parkedNote, wholeRecord } from './park';
import { stubRecord } from './stub';
import type { Queue, ConsumerParts } from '../types';

const retryDelayMsMin = 100;
const retryDelayMsMax = 5_000;

export class Parking {
  /** Messages that the parked topic has not accepted yet, after at least one failed append. */
  readonly #delayed = new Set<Message>();

  constructor(
    private readonly parts: ConsumerParts,
    private readonly queue: Queue,
  ) {}

  /**
   * Parks a message. Resolves with true when the parked topic has it, and with false when its partition was closed
   * before.
   */
  async park(message: Message, reason: string): Promise<boolean> {
    const { closed } = message.holder;
    const forms = this.#formsOf(message, reason);
    let refusal = '';
    for (let tries = 0, form = 0; !closed.aborted;) {
      const failure = await this.#append(() => forms[form]?.(refusal));
      if (!failure) {
        this.#parked(message, form > 0 ? refusal : undefined);
        return true;
      }
      const outlook = outlookOf(failure.error);
      if (outlook === 'final') {
        if (form === 0) refusal = errorMessage(failure.error);
        form = (form + 1) % forms.length;
        if (form > 0) continue; // a smaller record can succeed at once
      }
      // Start with the whole record again, since the limit that rejected the records can have changed by then.
      this.#failed(message, failure.error);
      const delayMs = outlook === 'transient' ? retryDelayMsMin * 2 ** Math.min(tries++, 10) : retryDelayMsMax;
      await sleep(this.parts.clock, Math.min(delayMs, retryDelayMsMax), closed);
    }
    this.#undelay(message, 'no message of this instance waits to be parked');
    return false;
  }

  /** Returns the forms of the record, from the largest to the smallest. */
  #formsOf(message: Message, reason: string): readonly ((refusal: string) => Append)[] {
    const note = parkedNote(this.parts, this.queue, message, reason);
    return [
      () => wholeRecord(note, message),
      (refusal) => stubRecord(note, message.record, refusal, 'stub'),
      (refusal) => stubRecord(note, message.record, refusal, 'least'),
    ];
  }

  async #append(make: () => Append | undefined): Promise<{ readonly error: unknown } | undefined> {
    try {
      const record = make();
      await this.parts.log.append(this.queue.parkedTopic.name, record ? [record] : []);
      return undefined;
    } catch (error) {
      // The outcome can be unknown, but a repeated append is harmless: the topic keeps one record for each key.
      return { error };
    }
  }

  #parked(message: Message, refusal: string | undefined): void {
    this.#undelay(message, 'messages can be parked again');
    if (refusal === undefined) return;
    const place = placeOf(this.queue.topic.name, message);
    const why = `${message.id} could not be parked whole, so a stub was parked: ${refusal}`;
    const fields = { queue: this.queue.name, id: message.id };
    const text = `${why}. The whole message is at ${place}`;
    this.parts.notices.emit({ type: 'log', level: 'warn', message: text, fields });
  }

  #failed(message: Message, error: unknown): void {
    if (this.#delayed.size === 0) this.#report(false, `${message.id} could not be parked yet: ${errorMessage(error)}`);
    this.#delayed.add(message);
  }

  /**
   * Records that a message is no longer delayed. Only the last one reports the recovery: the success of another message
   * does not show that the delayed ones can be parked.
   */
  #undelay(message: Message, reason: string): void {
    if (this.#delayed.delete(message) && this.#delayed.size === 0) this.#report(true, reason);
  }

  #report(ok: boolean, reason: string): void {
    this.parts.notices.emit({ type: 'state', part: `queue ${this.queue.name}`, ok, reason });
  }
}

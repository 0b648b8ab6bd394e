/** The writer of one partition: Reset, then 30,000 values of 320 bytes, then a flush, and two readers (TW-5 to TW-14). */
import { createHash } from 'node:crypto';
import { openBus, type Bus } from 'busbar';
import { z } from 'zod';
import { defineModule, event } from '../../src/index';
import { count, mib, ms, type Figure } from './figures';
import { Bytes } from './numbered';
import { isTimely, onKafka, until, type Around, type Scenario } from './scene';

const Message = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('reset') }),
  z.object({ kind: z.literal('data'), bytes: Bytes }),
]);
type Message = z.infer<typeof Message>;
/** All messages have one key, so one partition holds them in their order. */
const writing = defineModule('writing', { message: event(Message, { key: () => 'writer' }) });

const valueBytes = 320;
/** The timeout of the authors for writing and reading all messages. */
const authorsMs = 15_000;

export const writer: Scenario = {
  title: 'Reset and 30,000 values of 320 bytes to one partition, read back identical',
  run: async (around) => write(around),
};

async function write(around: Around): Promise<readonly Figure[]> {
  const { short, say } = around;
  const values = short ? 3_000 : 30_000;
  const total = values + 1;
  await using sender = await openBus({ log: false, module: writing, ...onKafka(around) });
  await using reader = await openBus({ log: false, module: 'reading', ...onKafka(around) });
  const early = new Copy();
  await reader.listen(writing.message, { as: 'early' }, early.add);

  const written = createHash('sha256');
  const beganMs = performance.now();
  const failed: unknown[] = [];
  for (let n = 0; n < total; n++) {
    const message: Message = n === 0 ? { kind: 'reset' } : { kind: 'data', bytes: value(n) };
    written.update(asBytes(message));
    sender.publish(writing.message, message).catch((error: unknown) => void failed.push(error));
    if (n % 10_000 === 0) say(`${n} queued`);
  }
  const queuedMs = performance.now() - beganMs;
  const places = await sender.flush();
  const flushedMs = performance.now() - beganMs;
  await until('all are read', 120_000, () => early.count >= total);
  const readMs = performance.now() - beganMs;
  const late = new Copy();
  const lateFromMs = performance.now();
  await reader.listen(writing.message, { as: 'late', from: 'start' }, late.add);
  await until('all are read again', 120_000, () => late.count >= total);
  const lateMs = performance.now() - lateFromMs;
  const digest = written.digest('hex');
  const [earlyCount, lateCount] = [early.count, late.count];
  const isSame = early.count === total && early.digest() === digest;
  const isLateSame = late.count === total && late.digest() === digest;
  const fromReset = await readFromReset(sender, reader, total);
  const bytes = mib(values * valueBytes);
  return [
    { row: 'TW-6', what: `queue ${count(total)} messages, ${bytes}`, authors: '', ours: ms(queuedMs), ok: undefined },
    {
      row: 'TW-8',
      what: 'flush: all are durable, last offset',
      authors: 'offset of the last',
      ours: `${ms(flushedMs)}, ${places.map(({ partition, offset }) => `partition ${partition}: ${offset}`).join()}`,
      ok: failed.length === 0 && places.length === 1 && places[0]?.offset === total - 1,
    },
    {
      row: 'TW-12',
      what: 'all read back, byte for byte and in order',
      authors: `within ${ms(authorsMs)}`,
      ours: `${count(earlyCount)} in ${ms(readMs)}, ${isSame ? 'identical' : 'DIFFERENT'}`,
      ok: isSame && isTimely(around, readMs, authorsMs),
    },
    {
      row: 'TW-14',
      what: 'a reader that begins after the last message',
      authors: `within ${ms(authorsMs)}`,
      ours: `${count(lateCount)} in ${ms(lateMs)}, ${isLateSame ? 'identical' : 'DIFFERENT'}`,
      ok: isLateSame && isTimely(around, lateMs, authorsMs),
    },
    fromReset,
  ];
}

/** Values that are written after a second reset. */
const valuesAfterReset = 100;

/** Writes another reset and values, and reads from the time of that reset on. */
async function readFromReset(sender: Bus, reader: Bus, before: number): Promise<Figure> {
  const from = new Date();
  await sender.publish(writing.message, { kind: 'reset' });
  await sender.publishAll(
    writing.message,
    Array.from({ length: valuesAfterReset }, (_, n) => ({ kind: 'data' as const, bytes: value(n) })),
  );
  let [all, sinceReset] = [0, -1];
  await reader.listen(writing.message, { as: 'reset', from }, ({ kind }) => {
    all++;
    if (kind === 'reset') sinceReset = 0;
    else if (sinceReset >= 0) sinceReset++;
  });
  await until('the values after the reset are read', 60_000, () => sinceReset >= valuesAfterReset);
  return {
    row: 'TW-10',
    what: `read from the last reset, which ${count(before)} messages precede`,
    authors: 'Reset comes first',
    ours: `${count(sinceReset)} after it, ${count(all - sinceReset - 1)} before it`,
    ok: sinceReset === valuesAfterReset && all < before,
  };
}

/** Hash of the messages that a reader received. */
class Copy {
  readonly #hash = createHash('sha256');
  count = 0;
  readonly add = (message: Message): void => {
    this.#hash.update(asBytes(message));
    this.count++;
  };
  digest(): string {
    return this.#hash.digest('hex');
  }
}

function asBytes(message: Message): Uint8Array {
  return message.kind === 'reset' ? Buffer.from('reset') : message.bytes;
}

/** Returns the value of message `n`: bytes of an xorshift generator that begins with `n`, the same in every run. */
function value(n: number): Uint8Array {
  const words = new Uint32Array(valueBytes / Uint32Array.BYTES_PER_ELEMENT);
  let state = n;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
  return new Uint8Array(words.buffer);
}

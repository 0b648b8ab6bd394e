/** Checks on a real transport that `submit` and `flush` resolve with the places of the records in its log. */
import type { Bus, MessagePlace } from '../../src/index';
import { openToLook, type OpenOptions } from '../../src/open';
import { parseEnvelope } from '../../src/format/envelope-parser';
import { shop } from './contract';

/** Submits jobs singly and in lists, and returns the faults that the log shows. */
export async function placeFaults(bus: Bus, options: OpenOptions): Promise<readonly string[]> {
  const lists = Array.from({ length: 20 }, (_, list) =>
    bus.submitAll(
      shop.pack,
      Array.from({ length: 10 }, (_one, n) => ({ order: `o${n}`, n: list })),
    ),
  );
  const singles = Array.from({ length: 50 }, (_, n) => bus.submit(shop.pack, { order: `single${n}`, n }));
  const flushed = await bus.flush();
  const sent = [...(await Promise.all(lists)).flat(), ...(await Promise.all(singles))];
  const looking = await openToLook(options);
  try {
    const faults: string[] = [];
    for (const { id, place } of sent) {
      const found = place && (await idAt(looking.ports.log, place));
      if (found !== id) faults.push(`${id}: its place ${JSON.stringify(place)} holds ${found}`);
    }
    const bounds = await looking.ports.log.bounds(flushed[0]?.topic ?? '');
    const written = bounds.filter(({ end }) => end > 0);
    // This bus is the only sender, so its last record of a partition is the last one there.
    const last = written.map(({ partition, end }) => ({ topic: flushed[0]?.topic, partition, offset: end - 1 }));
    if (JSON.stringify(last) !== JSON.stringify(flushed)) faults.push(`flush: ${JSON.stringify({ last, flushed })}`);
    return sent.length === 250 ? faults : [...faults, `${sent.length} results`];
  } finally {
    await looking.bus.close();
  }
}

type Log = Awaited<ReturnType<typeof openToLook>>['ports']['log'];
async function idAt(log: Log, { topic, partition, offset }: MessagePlace): Promise<string | undefined> {
  const [record] = await log.peek(topic, { partition, offset }, { messages: 1, bytes: 1 });
  if (record?.offset !== offset) return undefined;
  const envelope = parseEnvelope(record.headers['bus'] ?? '');
  return 'bad' in envelope ? undefined : envelope.id;
}

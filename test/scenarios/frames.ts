/** Bodies of every size, and bodies that look like frames, through each verb (IMP-2). */
import { createHash } from 'node:crypto';
import { openBus, isBusError } from 'busbar';
import { z } from 'zod';
import { defineModule, request, work } from '../../src/index';
import { count, type Figure } from './figures';
import { Bytes } from './numbered';
import { onKafka, until, type Around, type Scenario } from './scene';

const bytesMax = 1_000_000;
const Body = z.object({ bytes: Bytes });
const frame = defineModule('frame', {
  echo: request(Body, z.string()),
  keep: work(Body),
});

export const frames: Scenario = {
  title: 'bodies of every size up to the limit and bodies that look like frames, on both transports',
  async run(around) {
    return [...(await send(around, 'kafka')), ...(await send(around, 'embedded'))];
  },
};

async function send(around: Around, transport: 'kafka' | 'embedded'): Promise<readonly Figure[]> {
  const given = transport === 'kafka' ? onKafka(around) : { dir: `${around.dir}/frames` };
  await using receiver = await openBus({ log: false, module: frame, ...given });
  const kept = new Map<string, number>();
  await receiver.serve(frame, {
    echo: ({ bytes }) => hash(bytes),
    keep: ({ bytes }) => {
      const digest = hash(bytes);
      kept.set(digest, (kept.get(digest) ?? 0) + 1);
    },
  });
  await using sender = await openBus({ log: false, module: 'sender', ...given });
  const overhead = await overheadOf((bytes) => sender.request(frame.echo, { bytes }));
  const bodies = [...sizes(bytesMax - overhead).map(patterned), ...lookalikes()];
  const expected = new Set(bodies.map(hash));
  let same = 0;
  for (const bytes of bodies) {
    if ((await sender.request(frame.echo, { bytes }, { timeoutMs: 30_000 })) === hash(bytes)) same++;
    await sender.submit(frame.keep, { bytes });
  }
  const refused = [await codeOf(sender.request(frame.echo, { bytes: new Uint8Array(bytesMax - overhead + 1) }))];
  refused.push(await codeOf(sender.submit(frame.keep, { bytes: new Uint8Array(16 * 1024 * 1024) })));
  await until('all jobs are handled', 60_000, () => kept.size >= expected.size);
  around.say(`${transport}: ${bodies.length} bodies`);
  const isExact = kept.size === expected.size && [...kept.keys()].every((digest) => expected.has(digest));
  return [
    {
      row: 'IMP-2',
      what: `requests from 0 to ${count(bytesMax)} bytes, ${transport}`,
      authors: 'half messages, shifted frames',
      ours: `${count(same)} of ${count(bodies.length)} identical`,
      ok: same === bodies.length,
    },
    {
      row: 'IMP-2',
      what: `the same as jobs, ${transport}`,
      authors: '',
      ours: `${count(kept.size)} of ${count(expected.size)} identical`,
      ok: isExact,
    },
    {
      row: 'IMP-2',
      what: `one byte above the limit, and 16 MiB, ${transport}`,
      authors: '',
      ours: refused.join(', '),
      ok: refused.every((code) => code === 'TooLarge'),
    },
  ];
}

/** Returns 0 to 4, each power of two with its neighbors, and the largest size. */
function sizes(largest: number): readonly number[] {
  const powers = Array.from({ length: 17 }, (_, at) => 2 ** (at + 3)).flatMap((size) => [size - 1, size, size + 1]);
  return [0, 1, 2, 3, 4, ...powers.filter((size) => size < largest), largest];
}

function patterned(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, at) => (at * 31 + size) % 256);
}

/** Returns bodies that a reader would take for frames if it lost its place: lengths of 4 bytes, and zeros. */
function lookalikes(): readonly Uint8Array[] {
  const lengths = [0, 1, 4, 5, 0xff, 0xffff, 0x7fffffff, 0xffffffff];
  return lengths.flatMap((length) => {
    const one = Buffer.alloc(4);
    one.writeUInt32BE(length);
    return [one, Buffer.concat(Array.from({ length: 1_000 }, () => one))];
  });
}

/** Returns the bytes that a body needs beside its value: the fewest with which a value is accepted. */
async function overheadOf(call: (bytes: Uint8Array) => Promise<unknown>): Promise<number> {
  for (let overhead = 0; overhead < 100; overhead++) {
    if ((await codeOf(call(new Uint8Array(bytesMax - overhead)))) === 'accepted') return overhead;
  }
  throw new Error(`a value of ${bytesMax - 100} bytes was refused`);
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'accepted',
    (error: unknown) => (isBusError(error) ? error.code : String(error)),
  );
}
const hash = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

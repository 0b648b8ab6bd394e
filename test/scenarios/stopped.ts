/** A receiver that is stopped while 1 GiB is sent to it, beside bare sockets with a length prefix (IMP-1). */
import net from 'node:net';
import { join } from 'node:path';
import { count, mib, ms, type Figure } from './figures';
import type { Load, Received, Sent } from './numbered';
import { onKafka, startChild, until, type Around, type Scenario } from './scene';
import type { BusGiven } from '../../src/options';

const program = join(__dirname, 'child.ts');
const largeBytes = 102_400;
const smallBytes = 350;
const submitMsMax = 500;
/** Growth of a sender. It must not depend on how much waits for the receiver. */
const growthBytesMax = 256 * 1024 * 1024;

export const stopped: Scenario = {
  title: '1 GiB to a receiver that is stopped with SIGSTOP',
  async run(around) {
    const figures = [...(await cut(around, 'tcp')), ...(await cut(around, 'unix'))];
    for (const transport of ['kafka', 'embedded'] as const) {
      const [large, small] = loads(around);
      figures.push(...(await send(around, transport, large)), ...(await send(around, transport, small)));
    }
    return figures;
  },
};

function loads({ short }: Around): readonly [large: Load, small: Load] {
  return [
    { messages: short ? 200 : 10_486, bytes: largeBytes, keys: 12, outstanding: 8 },
    { messages: short ? 5_000 : 1_000_000, bytes: smallBytes, keys: 12, outstanding: 256 },
  ];
}

/** Sends to a socket that is not read, kills the sender, and counts what arrived. */
async function cut(around: Around, kind: 'tcp' | 'unix'): Promise<readonly Figure[]> {
  const messages = 200;
  const accepted: net.Socket[] = [];
  const server = net.createServer({ pauseOnConnect: true }, (socket) => void accepted.push(socket));
  const path = join(around.dir, 'cut.sock');
  await new Promise<void>((resolve) => server.listen(kind === 'tcp' ? 0 : path, resolve));
  const to = kind === 'tcp' ? { port: (server.address() as net.AddressInfo).port } : { path }; // it listens on TCP
  const sender = startChild(program, ['socket', JSON.stringify({ ...to, bytes: largeBytes, messages })]);
  try {
    await sender.next('full');
    await sender.kill();
    let bytes = 0;
    for (const socket of accepted) {
      socket.on('data', (chunk) => (bytes += chunk.length));
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.on('error', () => undefined); // the sender was killed
      socket.resume();
      await closed;
    }
    const whole = Math.floor(bytes / (largeBytes + 4));
    const rest = bytes % (largeBytes + 4);
    return [
      {
        row: 'IMP-1',
        what: `${kind} socket with a length prefix, ${messages} × 100 KB`,
        authors: 'limited to the socket buffers',
        ours: `without a bus: ${whole} whole, ${count(rest)} bytes of the next, the others lost`,
        ok: whole < messages,
      },
    ];
  } finally {
    await sender.kill();
    await new Promise((resolve) => server.close(resolve));
  }
}

async function send(around: Around, transport: 'kafka' | 'embedded', load: Load): Promise<readonly Figure[]> {
  const name = `${transport}-${load.bytes}`;
  const given: BusGiven =
    transport === 'kafka'
      ? { ...onKafka({ ...around, ns: `${around.ns}-${load.bytes}` }), sessionMs: 6_000 }
      : { dir: join(around.dir, name), sessionMs: 6_000 };
  const receiver = startChild(program, ['receiver', JSON.stringify(given)]);
  const sender = startChild(program, ['sender', JSON.stringify(given)]);
  try {
    await Promise.all([receiver.next('open'), sender.next('open')]);
    receiver.signal('SIGSTOP');
    sender.send('send', load);
    const sent = (await sender.next('sent', 1_800_000)) as Sent; // `submit` returns it
    around.say(`${name}: ${count(sent.accepted)} accepted in ${ms(sent.totalMs)}`);
    receiver.signal('SIGCONT');
    const received = await reportWhen(receiver, ({ count: all }) => all >= load.messages);
    around.say(`${name}: ${count(received.count)} received`);
    const what = `${count(load.messages)} × ${count(load.bytes)} bytes, ${transport}`;
    const growth = sent.peakBytes - sent.startBytes;
    const missing = load.messages - (received.count - received.repeated);
    return [
      {
        row: 'IMP-1',
        what,
        authors: 'lost beyond the socket buffers',
        ours: `missing ${count(missing)}, repeated ${received.repeated}, out of order ${received.outOfOrder}`,
        ok: sent.accepted === load.messages && missing === 0 && received.repeated + received.outOfOrder === 0,
      },
      {
        row: 'IMP-1',
        what: `longest submit, ${what}`,
        authors: 'blocks',
        ours: `${ms(sent.maxMs)} with ${load.outstanding} in flight, ${count(load.messages / (sent.totalMs / 1_000))}/s`,
        ok: around.short ? undefined : sent.maxMs <= submitMsMax, // a short run shares its processors with other tests
      },
      {
        row: 'IMP-1',
        what: `beside it, longest: write and fdatasync; delay of a timer; wait for a processor, ${what}`,
        authors: '',
        ours: [sent.probed.diskMs, sent.probed.loopMs, sent.probed.processorMs].map(ms).join('; '),
        ok: undefined,
      },
      {
        row: 'IMP-1',
        what: `private memory of the sender, ${what}`,
        authors: '',
        ours: `+${mib(growth)} for ${mib(load.messages * load.bytes)}`,
        ok: growth <= growthBytesMax,
      },
    ];
  } finally {
    receiver.signal('SIGCONT');
    await Promise.all([receiver.kill(), sender.kill()]);
  }
}

/** Resolves with the first report of a receiver that `isComplete` accepts. */
async function reportWhen(
  receiver: ReturnType<typeof startChild>,
  isComplete: (report: Received) => boolean,
): Promise<Received> {
  let last: Received | undefined;
  await until('all are received', 900_000, async () => {
    receiver.send('report');
    last = (await receiver.next('report')) as Received; // `receive` returns it
    return isComplete(last);
  });
  if (last === undefined) throw new Error('no report');
  return last;
}

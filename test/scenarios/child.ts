/** One process of a scenario: a receiver of numbered jobs, a sender of them, or a sender without a bus. */
import net from 'node:net';
import { tmpdir } from 'node:os';
import { openBus, type Bus } from 'busbar';
import type { BusGiven } from '../../src/options';
import { probeDisk } from './disk-probe';
import { store, type Load, type Received, type Sent } from './numbered';
import { onWord, privateBytes, tell } from './scene';

const [role = '', json = '{}'] = process.argv.slice(2);

const roles: Readonly<Record<string, (given: unknown) => Promise<void>>> = {
  // The scenario writes the arguments as JSON, with these types.
  receiver: (given) => receive(given as BusGiven),
  sender: (given) => send(given as BusGiven),
  socket: (given) => fill(given as SocketGiven),
};

/** Handles jobs, and notes per key whether each number is the next one. */
async function receive(given: BusGiven): Promise<void> {
  const bus = await openBus({ log: false, module: store, ...given });
  const next = new Map<string, number>();
  const report = { count: 0, bytes: 0, repeated: 0, outOfOrder: 0 };
  await bus.serve(store, {
    keep: ({ key, n, bytes }) => {
      const expected = next.get(key) ?? 0;
      if (n < expected) report.repeated++;
      else if (n > expected) report.outOfOrder++;
      next.set(key, Math.max(expected, n + 1));
      report.count++;
      report.bytes += bytes.length;
    },
  });
  onWord('report', () => tell('report', report satisfies Received));
  end(bus);
  tell('open');
}

/** Submits jobs with a number of calls in flight, and measures each call and the memory of this process. */
async function send(given: BusGiven): Promise<void> {
  const bus = await openBus({ log: false, module: 'sender', ...given });
  onWord('send', (load) => void submit(bus, load as Load).then((sent) => tell('sent', sent)));
  end(bus);
  tell('open');
}

async function submit(bus: Bus, { messages, bytes: size, keys, outstanding }: Load): Promise<Sent> {
  const bytes = new Uint8Array(size).fill(0x61);
  const startBytes = privateBytes();
  const probe = probeDisk(tmpdir(), size);
  const tookMs: number[] = [];
  let peakBytes = startBytes;
  let n = 0;
  const rejected: string[] = [];
  const beganMs = performance.now();
  const line = async (): Promise<void> => {
    while (n < messages) {
      const mine = n++;
      const sentMs = performance.now();
      try {
        await bus.submit(store.keep, { key: `k${mine % keys}`, n: Math.floor(mine / keys), bytes });
      } catch (error) {
        rejected.push(String(error));
      }
      tookMs.push(performance.now() - sentMs);
      if (mine % 100 === 0) peakBytes = Math.max(peakBytes, privateBytes());
    }
  };
  await Promise.all(Array.from({ length: outstanding }, line));
  const totalMs = performance.now() - beganMs;
  const { diskMs, loopMs, processorMs } = probe.read();
  probe.stop();
  const longest = (all: readonly number[]): number => all.reduce((most, one) => Math.max(most, one), 0);
  return {
    accepted: messages - rejected.length,
    rejected: rejected.slice(0, 3),
    totalMs,
    maxMs: longest(tookMs),
    probed: { diskMs: longest(diskMs), loopMs: longest(loopMs), processorMs: longest(processorMs) },
    startBytes,
    peakBytes,
  };
}

interface SocketGiven {
  readonly path?: string;
  readonly port?: number;
  readonly bytes: number;
  readonly messages: number;
}
/** Writes messages behind a length of 4 bytes, as IMP did. Reports when the kernel accepts no more of them. */
async function fill({ bytes, messages, ...to }: SocketGiven): Promise<void> {
  const socket = to.path === undefined ? net.connect(to.port ?? 0, '127.0.0.1') : net.connect(to.path);
  await new Promise<void>((resolve) => socket.once('connect', resolve));
  const message = Buffer.alloc(4 + bytes, 0x61);
  message.writeUInt32BE(bytes);
  let written = 0;
  for (let n = 0; n < messages; n++) socket.write(message, () => written++);
  let before = -1;
  setInterval(() => {
    if (written === before) tell('full', written);
    before = written;
  }, 200);
}

function end(bus: Bus): void {
  onWord('close', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
}

void roles[role]?.(JSON.parse(json)).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

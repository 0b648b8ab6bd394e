/** Subjects of the comparison: the bus, and a bare echo over a unix socket between two Node processes. */
import { connect } from 'node:net';
import { join } from 'node:path';
import { openBus } from 'busbar';
import { bench, order } from './contract';
import type { Subject } from './measure';
import { ownCpuUs, startChild } from './processes';

export async function busbarRequests(dir: string): Promise<Subject> {
  const child = await startChild('bench', dir);
  const bus = await openBus({ module: 'caller', dir });
  return {
    name: 'busbar',
    async call() {
      const reply = await bus.request(bench.echo, order);
      if (reply.id !== order.id || reply.note.length !== order.note.length) throw new Error('a wrong reply');
    },
    cpuUs: async () => ownCpuUs() + Number(await child.ask('cpu')),
    async close() {
      await bus.close();
      await child.close();
    },
  };
}

/** Submits jobs to a queue without a worker: one served it before, so that the queue exists, and has left. */
export async function busbarSubmits(dir: string): Promise<Subject> {
  await (await startChild('worker', dir)).close();
  const bus = await openBus({ module: 'caller', dir });
  let n = 0;
  return {
    name: 'busbar',
    async call() {
      const { reached } = await bus.submit(bench.job, { ...order, id: `order-${n++ % 1_000}` }, { until: 'broker' });
      if (reached !== 'broker') throw new Error(`it reached ${reached}`);
    },
    cpuUs: async () => ownCpuUs(),
    close: () => bus.close(),
  };
}

/** Sends frames of a length, a number and 100 bytes, and checks number and length of each answer. */
export async function bareEcho(dir: string): Promise<Subject> {
  const path = join(dir, 'echo.sock');
  const child = await startChild('unix-socket', path);
  const socket = connect(path);
  await new Promise((resolve) => socket.once('connect', resolve));
  const waiting = new Map<number, () => void>();
  let number = 0;
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    for (; rest.length - at >= frameBytes; at += frameBytes) {
      if (rest.readUInt32BE(at) !== frameBytes) throw new Error('a wrong frame');
      const id = rest.readUInt32BE(at + 4);
      waiting.get(id)?.();
      waiting.delete(id);
    }
    rest = rest.subarray(at);
  });
  return {
    name: 'unix-socket',
    call() {
      const frame = Buffer.alloc(frameBytes, 7);
      frame.writeUInt32BE(frameBytes, 0);
      frame.writeUInt32BE(++number, 4);
      socket.write(frame);
      return new Promise((resolve) => waiting.set(number, resolve));
    },
    cpuUs: async () => ownCpuUs() + Number(await child.ask('cpu')),
    async close() {
      socket.destroy();
      await child.close();
    },
  };
}
const frameBytes = 108;

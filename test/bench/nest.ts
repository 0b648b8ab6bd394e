/** Measures NestJS microservices over Kafka, with the packages in peers/. */
import { resolve } from 'node:path';
import { order } from './contract';
import type { Subject } from './measure';
import { ownCpuUs, startChild } from './processes';

type Order = typeof order;
interface Nest {
  serve(): Promise<void>;
  makeTopics(): Promise<void>;
  openCaller(): Promise<{ request(order: Order): Promise<Order>; close(): Promise<void> }>;
}

/** Loads a plain JavaScript file, because its packages are not dependencies of this repository. */
export function loadNest(): Nest {
  return require(resolve('test/bench/peers/nest.cjs')) as Nest; // it exports these three functions
}

export async function nestRequests(): Promise<Subject> {
  const nest = loadNest();
  await nest.makeTopics();
  const child = await startChild('nest', '');
  const caller = await nest.openCaller();
  return {
    name: 'nest-kafka',
    async call() {
      const reply = await caller.request(order);
      if (reply.id !== order.id || reply.note.length !== order.note.length) throw new Error('a wrong reply');
    },
    cpuUs: async () => ownCpuUs() + Number(await child.ask('cpu')),
    async close() {
      await caller.close();
      await child.close();
    },
  };
}

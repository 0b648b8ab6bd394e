/** The other process of a benchmark: acts according to its role and answers questions about itself. */
import { createServer } from 'node:net';
import { appendFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openBus, type Bus } from 'busbar';
import { bench } from './contract';

/** A question over the IPC channel of `fork`; the answer takes the same channel. */
export type Question = {
  readonly ask: 'cpu' | 'count' | 'span' | 'rss' | 'latencies' | 'reset' | 'close' | keyof More;
};
/** Questions that only some roles answer. */
interface More {
  name?: () => string;
  call?: () => Promise<true>;
  many?: () => object;
}
interface Moment {
  readonly handled: number;
  readonly ms: number;
  readonly cpuUs: number;
}
/** Moments of the first records and of the last thousand so far. */
export interface Span {
  readonly first: Moment;
  readonly last: Moment;
}

const [role = '', dir = ''] = process.argv.slice(2);
const more: More = {};
let handled = 0;
let latenciesMs: number[] = [];
let first: Moment | undefined;
let last: Moment = { handled: 0, ms: 0, cpuUs: 0 };

async function start(): Promise<() => Promise<void>> {
  if (role === 'unix-socket') return echoServer(dir);
  if (role === 'nest') return serveNest();
  if (role === 'prototype') return servePrototype();
  if (role === 'each-batch') return (await import('./kafkajs')).consumeAll(dir, `${dir}.bare`, count);
  if (role === 'many') return serveMany();
  if (role === 'one') return serveOne();
  if (role.startsWith('look-')) return (await import('./look')).openConsumers(dir, Number(role.slice(5)));
  const bus = await openBus({ module: role === 'worker' || role === 'rolling' ? bench : role, dir });
  if (role === 'rolling') await writeMoves(bus);
  const served = await bus.serve(
    bench,
    {
      echo: role === 'overload' ? () => new Promise<never>(() => {}) : (order) => order,
      job: role === 'stuck' ? () => new Promise<void>(() => {}) : () => count(1),
      tell: ({ sentNs }) => void latenciesMs.push(Number(process.hrtime.bigint() - sentNs) / 1e6),
    },
    { concurrency: { echo: role === 'overload' ? 1 : 1_000, job: 64 } },
  );
  void served;
  return role === 'stuck' || role === 'overload' ? async () => {} : () => bus.close();
}

async function writeMoves(bus: Bus): Promise<void> {
  const { movesFile } = await import('./rolling');
  bus.watch((notice) => {
    if (notice.type !== 'partition') return;
    appendFileSync(join(dir, movesFile), `${Date.now()} ${notice.change} ${notice.partition}\n`);
  });
}
async function serveNest(): Promise<() => Promise<void>> {
  await (await import('./nest')).loadNest().serve();
  return async () => {};
}
async function servePrototype(): Promise<() => Promise<void>> {
  await (await import('./prototype')).serveEchoes();
  return async () => {};
}

async function serveMany(): Promise<() => Promise<void>> {
  const { close, ...rest } = await (await import('./many')).openMany(dir);
  Object.assign(more, rest);
  return close;
}
async function serveOne(): Promise<() => Promise<void>> {
  const bus = await (await import('./many')).openVictim(dir);
  more.name = () => bus.self.instance;
  return () => bus.close();
}

/** Counts handled records. Time starts at the end of the first call, which can stand for several records. */
function count(records: number): void {
  handled += records;
  if (first && handled % countEach >= records) return;
  const now = { handled, ms: performance.now(), cpuUs: cpuUs() };
  first ??= now;
  last = now;
}
const countEach = 1_000;

function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Echoes length-prefixed frames unchanged: the lowest possible cost of IPC between two Node processes. */
async function echoServer(path: string): Promise<() => Promise<void>> {
  const server = createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return async () => {
    server.close();
    rmSync(path, { force: true });
  };
}

function answer(question: Question): unknown {
  switch (question.ask) {
    case 'cpu':
      return cpuUs();
    case 'count':
      return handled;
    case 'span':
      return { first: first ?? last, last } satisfies Span;
    case 'rss':
      return process.memoryUsage.rss();
    case 'latencies':
      return latenciesMs;
    case 'reset':
      latenciesMs = [];
      handled = 0;
      return true;
    case 'close':
      return undefined;
    default:
      return more[question.ask]?.();
  }
}

void start().then(
  (close) => {
    process.on('message', (question: Question) => {
      if (question.ask === 'close') void close().then(() => process.exit(0));
      else void Promise.resolve(answer(question)).then((said) => process.send?.(said));
    });
    process.on('disconnect', () => process.exit(0));
    process.send?.('ready');
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);

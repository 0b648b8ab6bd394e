/** The other process of a bench: does what its role says and answers questions about itself. */
import { createServer } from 'node:net';
import { rmSync } from 'node:fs';
import { openBus } from 'busbar';
import { bench } from './contract';

/** Asked and answered over the IPC channel of `fork`. */
export type Question = { readonly ask: 'cpu' | 'count' | 'rss' | 'latencies' | 'reset' | 'close' };

const [role = '', dir = ''] = process.argv.slice(2);
let handled = 0;
let latenciesMs: number[] = [];

async function start(): Promise<() => Promise<void>> {
  if (role === 'unix-socket') return echoServer(dir);
  const bus = await openBus({ module: role === 'worker' ? bench : role, dir, ns: 'bench' });
  const served = await bus.serve(
    bench,
    {
      echo: (order) => order,
      job: role === 'stuck' ? () => new Promise<void>(() => {}) : () => void handled++,
      tell: ({ sentNs }) => void latenciesMs.push(Number(process.hrtime.bigint() - sentNs) / 1e6),
    },
    { concurrency: { echo: 1_000, job: 64 } },
  );
  void served;
  return role === 'stuck' ? async () => {} : () => bus.close();
}

/** Length-prefixed frames sent back as they came: the least that IPC between two Node processes can cost. */
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
    case 'cpu': {
      const { user, system } = process.cpuUsage();
      return user + system;
    }
    case 'count':
      return handled;
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
  }
}

void start().then(
  (close) => {
    process.on('message', (question: Question) => {
      if (question.ask === 'close') void close().then(() => process.exit(0));
      else process.send?.(answer(question));
    });
    process.on('disconnect', () => process.exit(0));
    process.send?.('ready');
  },
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);

/**
 * One instance of the shop in a process of its own. It appends its events to a file, one line each, so that a kill
 * loses none.
 */
import { appendFileSync } from 'node:fs';
import type { BusGiven } from '../../src/options';
import { openBus } from '../../src/index';
import { shop } from './contract';
import { tickMs } from './processes';

const [given = '{}', ledger = ''] = process.argv.slice(2);
const note = (line: string): void => appendFileSync(ledger, `${process.pid} ${Date.now()} ${line}\n`);
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let busiestMs = 0;
/** Measures CPU time, since wall time would include other processes of this machine. */
function measureTicks(): void {
  let before = process.cpuUsage();
  setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    busiestMs = Math.max(busiestMs, (user + system) / 1_000);
    before = process.cpuUsage();
  }, 5);
}

async function main(): Promise<void> {
  const bus = await openBus({ log: false, module: shop, ...(JSON.parse(given) as BusGiven) }); // written by the scene
  if (process.argv[4] === 'tells')
    bus.watch((notice) => notice.type === 'partition' && note(`${notice.change} ${notice.queue} ${notice.partition}`));
  if (process.argv[4] === 'ticks') setInterval(() => note('tick'), tickMs);
  if (process.argv[4] === 'measures') measureTicks();
  await bus.serve(
    shop,
    {
      who: () => bus.self.instance,
      twice: ({ n }) => {
        note(`twice ${n}`);
        return n * 2;
      },
      hang: ({ file }, { signal }) => {
        note(`hang ${file}`);
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => {
            note(`aborted ${(signal.reason as { code: string }).code}`);
            reject(new Error('aborted'));
          }),
        );
      },
      hangAgain: async ({ file }) => {
        note(`again ${file}`);
        if (process.argv[4] === 'hangs') await new Promise(() => {});
        return bus.self.instance;
      },
      slow: async ({ ms }) => {
        await later(ms);
        return bus.self.instance;
      },
      slowAgain: async ({ ms }) => {
        await later(ms);
        return bus.self.instance;
      },
      busiest: () => {
        const ms = busiestMs;
        busiestMs = 0;
        return ms;
      },
      die: () => process.kill(process.pid, 'SIGKILL') as never,
      pack: async ({ order, n }, { attempt }) => {
        note(`pack ${order} ${n} ${attempt}`);
        await later(5);
        note(`packed ${order} ${n}`);
      },
      shut: ({ n }) => note(`shut ${n}`),
    },
    { concurrency: { pack: 16, hang: 10 } },
  );
  process.on('SIGTERM', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
  process.send?.(bus.self.instance);
}
void main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

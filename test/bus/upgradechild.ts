/** One instance of the depot in a process of its own, in the version of its third argument. */
import { appendFileSync } from 'node:fs';
import type { BusGiven } from '../../src/options';
import { openBus } from '../../src/index';
import { newer, older } from './upgrade';

const [given = '{}', ledger = '', version = 'old'] = process.argv.slice(2);
const note = (line: string): void => appendFileSync(ledger, `${process.pid} ${Date.now()} ${line}\n`);
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function main(): Promise<void> {
  const bus = await openBus({ log: false, module: older, ...(JSON.parse(given) as BusGiven) }); // written by the scene
  bus.watch((notice) => notice.type === 'partition' && note(`${notice.change} ${notice.partition}`));
  const handle =
    (entry: string) =>
    async ({ n }: { n: number }): Promise<void> => {
      await later(2);
      note(`${version} ${entry} ${n}`);
    };
  if (version === 'old') await bus.serve(older, { pack: handle('pack') });
  else await bus.serve(newer, { pack: handle('pack'), wrap: handle('wrap') });
  process.on('SIGTERM', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
  process.send?.(bus.self.instance);
}
void main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

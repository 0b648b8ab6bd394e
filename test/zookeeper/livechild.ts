/** A process with many buses that reports when all of them have applied a value of a setting: `livechild.ts <options> <count>`. */
import { openBus, type Notice } from '../../src/index';
import type { BusGiven } from '../../src/options';

const [given = '{}', count = '0'] = process.argv.slice(2);

async function main(): Promise<void> {
  const have = new Map<string, number>();
  const listener = (notice: Notice): void => {
    if (notice.type !== 'setting' || notice.change !== 'applied' || notice.value === undefined) return;
    const many = (have.get(notice.value) ?? 0) + 1;
    have.set(notice.value, many);
    if (many === Number(count)) process.send?.(notice.value);
  };
  const options = JSON.parse(given) as BusGiven; // written by the test
  const open = (): Promise<unknown> => openBus({ log: false, module: 'many', onNotice: listener, ...options });
  await Promise.all(Array.from({ length: Number(count) }, open));
  process.on('disconnect', () => process.exit());
  process.send?.('open');
}
void main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

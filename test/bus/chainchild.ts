/** One instance of a module of the chain in a process of its own. Its third argument has the module, and whether it hangs. */
import { appendFileSync } from 'node:fs';
import type { BusGiven } from '../../src/options';
import { openBus, type Bus } from '../../src/index';
import { first, hangs, second, third, type Step } from './chain';

const [given = '{}', ledger = '', role = ''] = process.argv.slice(2);
const [name = '', how = ''] = role.split(' ');
const note = (line: string): void => appendFileSync(ledger, `${process.pid} ${Date.now()} ${line}\n`);

/** Sends the next step. With `hangs` some handlers never end after that, so that the process is killed in them. */
function step(send: (body: Step) => Promise<unknown>) {
  return async (body: Step): Promise<void> => {
    await send(body);
    if (how === 'hangs' && hangs(body)) await new Promise(() => undefined);
    note(`${name} ${body.n}`);
  };
}

const modules: Readonly<Record<string, (bus: Bus) => Promise<unknown>>> = {
  first: (bus) =>
    bus.serve(first, { take: step((body) => bus.publish(first.taken, body)) }, { concurrency: { take: 100 } }),
  second: (bus) =>
    bus.listen(
      first.taken,
      { as: 'pass', concurrency: 100 },
      step((body) => bus.submit(third.effect, body)),
    ),
  third: (bus) => bus.serve(third, { effect: ({ n }) => note(`effect ${n}`) }),
};

async function main(): Promise<void> {
  const bus = await openBus({
    log: false,
    module: { first, second, third }[name] ?? name,
    ...(JSON.parse(given) as BusGiven),
  }); // written by the scene
  bus.watch((notice) => notice.type === 'dropped' && note(`${name} drops ${notice.reason}`));
  await modules[name]?.(bus);
  process.on('SIGTERM', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
  process.send?.(bus.self.instance);
}
void main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

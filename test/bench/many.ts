/** A process with many instances. Each serves one of ten modules and calls the next one. */
import { defineModule, openBus, request, type Bus } from 'busbar';
import { Order, order } from './contract';
import { each, modules, type Many } from './instances';

const contracts = Array.from({ length: modules }, (_, n) => defineModule(`unit${n}`, { echo: request(Order, Order) }));
const told: Record<string, number> = {};

async function openOne(n: number, dir: string): Promise<Bus> {
  const contract = contracts[n % modules];
  if (!contract) throw new Error('there is one for each number');
  const bus = await openBus({
    module: contract,
    dir,
    onNotice: (notice) => {
      if (notice.type === 'instance' && notice.change === 'gone')
        told[notice.instance] = (told[notice.instance] ?? 0) + 1;
    },
  });
  await bus.serve(contract, { echo: (body: typeof order) => body });
  return bus;
}

/** Opens the instances. Opens and closes one first, so that loading the program is not measured as memory. */
export async function openMany(dir: string) {
  await (await openOne(0, dir)).close();
  const rssBefore = rssNow();
  const buses: Bus[] = [];
  for (let n = 0; n < each; n++) buses.push(await openOne(n, dir));
  return {
    async call(): Promise<true> {
      for (const [n, bus] of buses.entries()) {
        const next = contracts[(n + 1) % modules];
        if (next) await bus.request(next.echo, order);
      }
      return true;
    },
    many: (): Many => ({ rssBefore, rss: rssNow(), told }),
    close: async () => void (await Promise.all(buses.map((bus) => bus.close()))),
  };
}
export function openVictim(dir: string): Promise<Bus> {
  return openOne(0, dir);
}

/** Returns RSS after a garbage collection. */
function rssNow(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

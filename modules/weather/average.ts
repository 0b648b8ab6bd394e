/** A process that averages: `AS=daily node build/modules/weather/average.js`. Readers of one name share the work, each name gets all of it. */
import { openBus } from 'busbar';
import { averages, weather } from './contract';

const as = process.env['AS'] ?? 'average';

async function main(): Promise<void> {
  const bus = await openBus({ module: averages });
  let owned = 0;
  bus.watch((notice) => {
    if (notice.type !== 'partition') return;
    owned += notice.change === 'taken' ? 1 : -1;
    process.send?.({ owned });
  });
  const sums = new Map<string, { count: number; celsius: number }>();
  await bus.listen(weather.measured, { as }, async (measured) => {
    const sum = sums.get(measured.station) ?? { count: 0, celsius: 0 };
    sums.set(measured.station, { count: sum.count + 1, celsius: sum.celsius + measured.celsius });
    const average = (sum.celsius + measured.celsius) / (sum.count + 1);
    await bus.publish(averages.averaged, { ...measured, as, reader: bus.self.instance, average });
  });
  process.send?.({ owned });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void bus.close());
}
void main();

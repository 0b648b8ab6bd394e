/** A process that averages. AS is its listener name: instances of one name share the events, each name receives all. */
import { openBus } from 'busbar';
import { averages, weather } from './contract';

const as = process.env['AS'] ?? 'average';

async function main(): Promise<void> {
  const bus = await openBus({ module: averages });
  const owned = new Set<number>();
  bus.watch((notice) => {
    if (notice.type !== 'partition') return;
    if (notice.change === 'taken') owned.add(notice.partition);
    else owned.delete(notice.partition);
    process.send?.({ owned: owned.size });
  });
  const sums = new Map<string, { count: number; celsius: number }>();
  await bus.listen(weather.measured, { as }, async (measured) => {
    const sum = sums.get(measured.station) ?? { count: 0, celsius: 0 };
    sums.set(measured.station, { count: sum.count + 1, celsius: sum.celsius + measured.celsius });
    const average = (sum.celsius + measured.celsius) / (sum.count + 1);
    await bus.publish(averages.averaged, { ...measured, as, reader: bus.self.instance, average });
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void bus.close());
}
void main();

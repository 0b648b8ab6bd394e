/** Opens a bus, makes one request, reports its answer, and exits: the start-up time of a process. */
import { openBus } from 'busbar';
import { bench, order } from './contract';

void (async () => {
  const bus = await openBus({ module: 'first', dir: process.argv[2] ?? '' });
  await bus.request(bench.echo, order);
  process.stdout.write('answered\n');
  await bus.close();
})();

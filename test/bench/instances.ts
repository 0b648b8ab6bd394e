/** Runs 200 instances in four processes. Measures the memory of each, and counts the instances notified of a crash. */
import { lineOf, middle, to, type Line } from './measure';
import { startChild, type Child } from './processes';
import { until, type Run } from './scenarios';

/** Answer of a process with many instances to 'many'. */
export interface Many {
  readonly rssBefore: number;
  readonly rss: number;
  /** Number of its instances that were notified that an instance has left, by the name of that instance. */
  readonly told: Readonly<Record<string, number>>;
}
export const modules = 10;
export const each = 50;
const processes = 4;

/**
 * `p50_ms` is the memory of an instance in MB, the median of the processes; `p99_ms` the largest; `per_s` how many
 * instances were notified of a killed one, whose module they call; `outstanding` the number of instances.
 */
export async function instances(run: Run): Promise<readonly Line[]> {
  const children: Child[] = [];
  for (let n = 0; n < processes; n++) children.push(await startChild('many', run.dir));
  run.say(`instances: ${processes * each} are up`);
  const victim = await startChild('one', run.dir);
  const name = String(await victim.ask('name'));
  for (const child of children) await child.ask('call'); // now each is connected to the instances that it calls
  const before = (await Promise.all(children.map((child) => child.ask('many')))) as Many[];
  process.kill(victim.pid, 'SIGKILL');
  const tellers = async (): Promise<number> => {
    const all = (await Promise.all(children.map((child) => child.ask('many')))) as Many[];
    return all.reduce((sum, { told }) => sum + (told[name] ?? 0), 0);
  };
  await until(async () => (await tellers()) >= (processes * each) / modules);
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // no other instance is notified later
  const told = await tellers();
  for (const child of children) await child.close();
  const mb = before.map(({ rss, rssBefore }) => (rss - rssBefore) / each / 2 ** 20);
  run.say(`instances: ${mb.map((one) => to(2, one)).join(' ')} MB each; ${told} were told of the one killed`);
  const round = { perS: told, p50Ms: middle(mb), p99Ms: Math.max(...mb), cpuUs: 0 };
  return [{ ...lineOf('instances', 'busbar', processes * each, [round], run.way), spread: 0 }];
}

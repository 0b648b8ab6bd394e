/** 200 instances in four processes: what each takes, and whom the end of one is told. */
import { lineOf, middle, to, type Line } from './measure';
import { startChild, type Child } from './processes';
import { until, type Run } from './scenarios';

/** What a process with many instances answers to 'many'. */
export interface Many {
  readonly rssBefore: number;
  readonly rss: number;
  /** How many of its instances were told that the one called so is gone. */
  readonly told: Readonly<Record<string, number>>;
}
export const modules = 10;
export const each = 50;
const processes = 4;

/**
 * `p50_ms` is the memory of an instance in MB, the median of the processes; `p99_ms` the largest; `per_s` how many
 * instances were told that one was killed, of which each calls its module; `outstanding` how many there were.
 */
export async function instances(run: Run): Promise<readonly Line[]> {
  const children: Child[] = [];
  for (let n = 0; n < processes; n++) children.push(await startChild('many', run.dir));
  run.say(`instances: ${processes * each} are up`);
  const victim = await startChild('one', run.dir);
  const name = String(await victim.ask('name'));
  for (const child of children) await child.ask('call'); // now all know whom they call
  const before = (await Promise.all(children.map((child) => child.ask('many')))) as Many[];
  process.kill(victim.pid, 'SIGKILL');
  const tellers = async (): Promise<number> => {
    const all = (await Promise.all(children.map((child) => child.ask('many')))) as Many[];
    return all.reduce((sum, { told }) => sum + (told[name] ?? 0), 0);
  };
  await until(async () => (await tellers()) >= (processes * each) / modules);
  await new Promise((resolve) => setTimeout(resolve, 2_000)); // nobody else hears of it later
  const told = await tellers();
  for (const child of children) await child.close();
  const mb = before.map(({ rss, rssBefore }) => (rss - rssBefore) / each / 2 ** 20);
  run.say(`instances: ${mb.map((one) => to(2, one)).join(' ')} MB each; ${told} were told of the one killed`);
  const round = { perS: told, p50Ms: middle(mb), p99Ms: Math.max(...mb), cpuUs: 0 };
  return [{ ...lineOf('instances', 'busbar', processes * each, [round], run.way), spread: 0 }];
}

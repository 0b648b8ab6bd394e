/** Runs scenarios from the command line, and prints their figures beside those of the authors. */
import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { givenCluster, startCluster, type Cluster } from '../cluster/cluster';
import { away } from './away';
import { broadcasts } from './broadcasts';
import { closing } from './closing';
import { counts } from './counts';
import { crashing } from './crashing';
import { tableOf, type Figure } from './figures';
import { frames } from './frames';
import { kills } from './kills';
import { outage } from './outage';
import { play, type Scenario } from './scene';
import { spoolFull } from './spoolfull';
import { stopped } from './stopped';
import { stranger } from './stranger';
import { throttling } from './throttling';
import { topics } from './topics';
import { weather } from './weather';
import { working } from './working';
import { writer } from './writer';

/** Scenarios by name. The part before the dash is the system that each comes from. */
export const scenarios: Readonly<Record<string, Scenario>> = {
  'tw-topics': topics,
  'tw-writer': writer,
  'tw-weather': weather,
  'ca-throttled': throttling,
  'ca-spool-full': spoolFull,
  'ca-close': closing,
  'ca-away': away,
  'ca-work': working,
  'ca-crash': crashing,
  'imp-stopped': stopped,
  'imp-frames': frames,
  'imp-kills': kills,
  'imp-broadcasts': broadcasts,
  'imp-counts': counts,
  'imp-start': stranger,
  'agent-outage': outage,
};

/** Exit code of wrong arguments, as in sysexits.h. */
const usageError = 64;

/** Runs the scenarios whose names begin with one of the given names; all if none is given. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const read = readArguments(args);
  if (typeof read === 'string') {
    const known = Object.entries(scenarios).map(([name, { title }]) => `  ${name.padEnd(16)}${title}`);
    console.error([read, 'usage: npm run scenarios -- [NAME…] [--short] [--speed N]', ...known].join('\n'));
    return usageError;
  }
  const { names, short, speed } = read;
  let cluster: Cluster | undefined;
  const isGiven = givenCluster(process.env) !== undefined;
  const figures: Figure[] = [];
  try {
    cluster = givenCluster(process.env) ?? (await startCluster({ brokers: 3, zookeeper: true }));
    for (const name of names) {
      const scenario = scenarios[name];
      if (!scenario) continue;
      if (scenario.alone && isGiven) {
        console.error(`${name}: left out, because it kills servers, and KAFKA_BROKERS names servers of others`);
        continue;
      }
      const ns = `${name}-${randomBytes(3).toString('hex')}`;
      const say = (progress: string): void => console.error(`${name}: ${progress}`);
      const beganMs = performance.now();
      const found = await play(scenario, { cluster, ns, short, speed, say });
      say(`ended after ${Math.round((performance.now() - beganMs) / 1_000)} s`);
      console.log(`\n${name}: ${scenario.title}${short ? ' (short)' : ''}\n${tableOf(found)}`);
      figures.push(...found);
    }
  } finally {
    await cluster?.close();
  }
  const failed = figures.filter(({ ok }) => ok === false).length;
  console.log(`\n${figures.length} figures, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

interface Arguments {
  readonly names: readonly string[];
  readonly short: boolean;
  readonly speed: number;
}
/** Returns the arguments, or the fault as text. */
function readArguments(args: readonly string[]): Arguments | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { short: { type: 'boolean', default: false }, speed: { type: 'string', default: '1' } },
    });
    const speed = Number(values.speed);
    if (!(speed >= 1 && speed <= 100)) return `--speed ${values.speed} is not a number from 1 to 100`;
    const all = Object.keys(scenarios);
    const unknown = positionals.find((given) => !all.some((name) => name.startsWith(given)));
    if (unknown !== undefined) return `no scenario has a name that begins with ${unknown}`;
    const names = all.filter((name) => positionals.length === 0 || positionals.some((given) => name.startsWith(given)));
    return { names, short: values.short, speed };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** `npm run simulate -- --seeds N [--from S] [--plant NAME]`: runs the seeds in order and prints the results. */
import { parseArgs } from 'node:util';
import { plants } from './plants';
import { runSeries } from './pool';
import { promises } from './promises';
import type { Outcome } from './run';

const usage = 'npm run simulate -- --seeds N [--from S] [--plant NAME]';
/** The number of events printed before a violation. */
const linesShown = 40;
const progressMs = 5_000;

interface Given {
  readonly seeds: number;
  readonly from: number;
  readonly plant: string | undefined;
}

function readArgs(args: string[]): Given {
  const { values } = parseArgs({
    args,
    options: { seeds: { type: 'string' }, from: { type: 'string' }, plant: { type: 'string' } },
  });
  const { seeds = '1000', from = '1', plant } = values;
  const faults = [
    ...(/^[1-9]\d{0,8}$/.test(seeds) ? [] : [`--seeds ${seeds} is not a number of seeds`]),
    ...(/^\d{1,9}$/.test(from) ? [] : [`--from ${from} is not a seed`]),
    ...(plant === undefined || Object.hasOwn(plants, plant)
      ? []
      : [`--plant ${plant} is none of ${Object.keys(plants).join(', ')}`]),
  ];
  if (faults.length > 0) throw new Error(faults.join('; '));
  return { seeds: Number(seeds), from: Number(from), plant };
}

/** Resolves to the exit code: 0 no violation, 1 a promise was broken, 64 wrong arguments, 130 stopped by a signal. */
export async function main(args: string[]): Promise<number> {
  let given: Given;
  try {
    given = readArgs(args);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 64;
  }
  let stopped = false;
  const stop = (): void => void (stopped = true);
  process.on('SIGINT', stop);
  try {
    return await runAll(given, () => stopped);
  } finally {
    process.off('SIGINT', stop);
  }
}

async function runAll(given: Given, stopped: () => boolean): Promise<number> {
  const { seeds } = given;
  const totals = new Map<string, number>();
  const startedMs = performance.now();
  let run = 0;
  let found: Outcome | undefined;
  const say = (): string =>
    `${run} of ${seeds} seeds, ${(run / ((performance.now() - startedMs) / 1_000)).toFixed(1)}/s`;
  const progress = setInterval(() => void process.stderr.write(`simulate: ${say()}\n`), progressMs);
  const tell = (outcome: Outcome): boolean => {
    run++;
    for (const [what, count] of outcome.counts) totals.set(what, (totals.get(what) ?? 0) + count);
    if (outcome.broken.length > 0) found = outcome;
    return !found && !stopped();
  };
  try {
    await runSeries({ ...given, tell });
  } finally {
    clearInterval(progress);
  }
  if (found) tellTrace(found);
  console.log(`${say()}${stopped() ? ', stopped' : ''}`);
  console.log(sayTotals(totals));
  if (found) tellFound(found, given);
  if (found) return 1;
  return stopped() ? 130 : 0;
}

function sayTotals(totals: ReadonlyMap<string, number>): string {
  const of = (name: string): number => totals.get(name) ?? 0;
  const list = (prefix: string): string =>
    [...totals]
      .filter(([what]) => what.startsWith(prefix))
      .toSorted(([a], [b]) => a.localeCompare(b))
      .map(([what, count]) => `${what.slice(prefix.length)} ${count}`)
      .join(', ');
  return [
    `messages: ${of('accepted')} accepted, ${of('unknown')} unknown, ${of('refused')} refused`,
    `handled: ${of('settled')} settled in ${of('handled')} handlings that ended well and ${of('attempts failed')} that failed, ${of('heard')} received, ${of('answered')} answered`,
    `requests: ${list('request ')}`,
    `faults: ${list('fault ')}`,
    `deaths: ${of('deaths')}, starts that failed: ${of('starts that failed')}`,
  ].join('\n');
}

function tellTrace({ lines, broken }: Outcome): void {
  const [first] = broken;
  const at = lines.findIndex((line) => line.includes(' BROKEN '));
  if (!first || at < 0) return;
  const about = /#\d+\b/.exec(first.detail)?.[0];
  const isAbout = (line: string): boolean => about === undefined || line.endsWith(about) || line.includes(`${about} `);
  const some = lines.slice(0, at + 1).filter((line, n) => n > at - linesShown / 2 || isAbout(line));
  console.log(`${some.slice(-linesShown).join('\n')}\n`);
}

function tellFound({ seed, broken }: Outcome, { plant }: Given): void {
  for (const { promise, detail, atMs } of broken) console.log(`at ${Math.round(atMs)} ms: ${promise}: ${detail}`);
  const planted = plant === undefined ? '' : ` --plant ${plant}`;
  const [first] = broken;
  console.log(`\nseed ${seed} breaks: ${first ? promises[first.promise] : ''}`);
  console.log(`again: npm run simulate -- --seeds 1 --from ${seed}${planted}`);
}

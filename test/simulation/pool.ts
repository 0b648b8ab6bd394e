/** Runs seeds on several threads and reports the outcomes in the order of the seeds. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Outcome } from './run';

export interface Series {
  readonly from: number;
  readonly seeds: number;
  /** The name of a plant in plants.ts. */
  readonly plant: string | undefined;
  /** Called in the order of the seeds. Returning false ends the series. */
  readonly tell: (outcome: Outcome) => boolean;
}

const threadsMax = 8;
/** This many seeds are run before a second thread has loaded the code. */
const seedsPerThread = 25;

/** Resolves when the last seed was reported, or `tell` returned false. Rejects when a thread dies. */
export async function runSeries(series: Series): Promise<void> {
  const { from, seeds, plant, tell } = series;
  const count = Math.min(threadsMax, availableParallelism(), Math.ceil(seeds / seedsPerThread));
  const register = join(__dirname, '..', 'register.cjs');
  const options = { workerData: { plant }, execArgv: ['--require', register] };
  const threads = Array.from({ length: count }, () => new Worker(join(__dirname, 'thread.ts'), options));
  try {
    await new Promise<void>((resolve, reject) => {
      const early = new Map<number, Outcome>();
      let [next, toTell] = [from, from];
      const give = (thread: Worker): void => {
        if (next < from + seeds) thread.postMessage(next++);
      };
      const came = (outcome: Outcome): void => {
        early.set(outcome.seed, outcome);
        for (let due = early.get(toTell); due; due = early.get(toTell)) {
          early.delete(toTell++);
          if (!tell(due) || toTell === from + seeds) return resolve();
        }
      };
      for (const thread of threads) {
        thread.on('error', reject);
        thread.on('message', (outcome: Outcome) => {
          give(thread);
          came(outcome);
        });
        give(thread);
      }
    });
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

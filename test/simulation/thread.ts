/** Runs seeds on a thread of its own: gets a seed, posts what came of it. */
import { parentPort, workerData } from 'node:worker_threads';
import { plants } from './plants';
import { runSeed } from './run';

const { plant } = workerData as { plant: string | undefined }; // as pool.ts gives it
parentPort?.on('message', (seed: number) => {
  void runSeed(seed, plant === undefined ? undefined : plants[plant]).then((outcome) => {
    // Only a run that found something is told in full.
    parentPort?.postMessage(outcome.broken.length > 0 ? outcome : { ...outcome, lines: [] });
  });
});

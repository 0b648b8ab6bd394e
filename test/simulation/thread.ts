/** Runs seeds on a worker thread: receives a seed, posts its outcome. */
import { parentPort, workerData } from 'node:worker_threads';
import { plants } from './plants';
import { runSeed } from './run';

const { plant } = workerData as { plant: string | undefined }; // set by pool.ts
parentPort?.on('message', (seed: number) => {
  void runSeed(seed, plant === undefined ? undefined : plants[plant]).then((outcome) => {
    // Only a run with a violation is posted in full.
    parentPort?.postMessage(outcome.broken.length > 0 ? outcome : { ...outcome, lines: [] });
  });
});

/** Contract, load and ledger lines of the processes of a fault scene. */
import { z } from 'zod';
import { broadcast, defineModule, request, work } from '../../src/index';

export const ledger = defineModule('ledger', {
  job: work(z.object({ key: z.string(), n: z.number() }), { key: (job) => job.key, backoffMs: 50 }),
  ask: request(z.object({ n: z.number() }), z.number()),
  tell: broadcast(z.object({ sender: z.string(), n: z.number() })),
});

/** Load of one sender, and duration of one job. */
export interface Load {
  readonly jobsPerSecond: number;
  /** Number of keys. Each sender has its own, so that the order of a key is known. */
  readonly keys: number;
  readonly requestsPerSecond: number;
  readonly broadcastsPerSecond: number;
  readonly jobMs: number;
}

/**
 * One line of the ledger. The words after the first, by the first word:
 * - of a sender: `accepted key n`, `unknown key n code`, `refused key n code`, `asked code tookMs`, `told n code`
 * - of a worker: `begin key n attempt`, `end key n`, `heard sender n`, `partition change number`
 * - of both: `stalled ms`, `state part ok|bad reason`, `dropped what: reason`, `error message`, `health live ready reasons`
 */
export interface Line {
  readonly process: string;
  readonly atMs: number;
  readonly words: readonly string[];
}

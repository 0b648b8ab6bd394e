/** The contract of thumbnails. */
import { defineModule, event, work } from 'busbar';
import { z } from 'zod';

const Job = z.object({ photoId: z.string(), file: z.string(), width: z.number().int().min(16).max(2_000) });
/** The job, and the instance and process that did it; `npm run demo` counts by these. */
const Did = z.object({ photoId: z.string(), jobId: z.string(), attempt: z.number(), by: z.string(), pid: z.number() });

export const thumbnails = defineModule('thumbnails', {
  /** Jobs of one photo run in order; jobs of different photos run concurrently. */
  resize: work(Job, { key: (job) => job.photoId, attempts: 5, backoffMs: 500 }),
  done: event(Did.extend({ file: z.string(), width: z.number(), height: z.number(), tookMs: z.number() }), {
    key: (done) => done.photoId,
  }),
  /** The image cannot be read; its job is parked with the same reason. */
  broken: event(Did.extend({ reason: z.string() }), { key: (broken) => broken.photoId }),
});

/** The contract of search, which also listens to events of photos. */
import { defineModule, request } from 'busbar';
import { z } from 'zod';

export const foundMax = 100;

export const search = defineModule('search', {
  /** Returns ids of photos whose name and tags contain words that start with every word of `text`, the newest first. */
  find: request(
    z.object({ text: z.string().max(200), limit: z.number().int().min(1).max(foundMax) }),
    z.object({ ids: z.array(z.string()) }),
    {
      idempotent: true,
      timeoutMs: 2_000,
    },
  ),
});

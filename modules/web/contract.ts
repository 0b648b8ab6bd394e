/** The contract of web. */
import { broadcast, defineModule, request } from 'busbar';
import { z } from 'zod';

export const web = defineModule('web', {
  /** The cached data of this photo, and every cached list, is outdated. */
  dropCache: broadcast(z.object({ photoId: z.string() })),
  /** For `requestAll`: the figures of each instance. */
  stats: request(
    z.object({}),
    z.object({
      port: z.number(),
      cached: z.number(),
      hits: z.number(),
      misses: z.number(),
      drops: z.number(),
      uploads: z.number(),
      viewers: z.number(),
    }),
    { idempotent: true, timeoutMs: 1_000 },
  ),
});

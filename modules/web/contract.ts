/** What every web instance takes in. */
import { broadcast, defineModule, request } from 'busbar';
import { z } from 'zod';

export const web = defineModule('web', {
  /** What was kept of this photo, and every list, is out of date. */
  dropCache: broadcast(z.object({ photoId: z.string() })),
  /** For `requestAll`: how each instance is doing. */
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

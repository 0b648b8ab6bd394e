/** Temperatures and their averages. */
import { defineModule, event } from 'busbar';
import { z } from 'zod';

const Measured = z.object({ station: z.string(), n: z.number().int(), celsius: z.number() });

/** Publishes temperatures, in order for each station. */
export const weather = defineModule('weather', {
  measured: event(Measured, { key: (measured) => measured.station }),
});

/**
 * Publishes, for each temperature that a reader received, the average of its station, the reader and its listener name.
 */
export const averages = defineModule('averages', {
  averaged: event(Measured.extend({ as: z.string(), reader: z.string(), average: z.number() }), {
    key: (averaged) => averaged.station,
  }),
});

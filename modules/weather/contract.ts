/** Temperatures, and what is made of them. */
import { defineModule, event } from 'busbar';
import { z } from 'zod';

const Measured = z.object({ station: z.string(), n: z.number().int(), celsius: z.number() });

/** Tells temperatures; those of one station keep their order. */
export const weather = defineModule('weather', {
  measured: event(Measured, { key: (measured) => measured.station }),
});

/** For each temperature that a reader got: the average of the station so far, and who made it under which name. */
export const averages = defineModule('averages', {
  averaged: event(Measured.extend({ as: z.string(), reader: z.string(), average: z.number() }), {
    key: (averaged) => averaged.station,
  }),
});

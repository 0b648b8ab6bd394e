/** Handles two jobs that a program in another language submits, and ends. */
import { defineModule, openBus, work } from 'busbar';
import { z } from 'zod';

const press = defineModule('press', {
  print: work(z.object({ document: z.string(), copies: z.number().int() }), { key: (job) => job.document }),
});

const bus = await openBus({ module: press }); // on Kafka: see README.md
let open = 2;
let bothPrinted = (): void => undefined;
const printed = new Promise<void>((resolve) => (bothPrinted = resolve));
await bus.serve(press, {
  // The body was checked with the schema. A record that does not fit is parked, and its neighbors are handled.
  print: ({ document, copies }, { from }) => {
    console.log(`printed ${document} ${copies} times for ${from.instance}`);
    if (--open === 0) bothPrinted();
  },
});
console.log('ready'); // the topic exists now
await printed;
await bus.close();

/** Scenarios of four published systems that kill servers, in their short form. */
import { kafkaSuite } from '../cluster/suite';
import { scenarios } from './main';
import { playShort } from './scene';

const killing = Object.entries(scenarios).filter(([, { alone = false }]) => alone);

kafkaSuite(
  'scenarios that kill servers, in their short form',
  (suite) => {
    test.each(killing)('%s keeps what busbar promises', async (name, scenario) => {
      expect(await playShort(scenario, suite, name)).toEqual([]);
    });
  },
  { alone: true },
);

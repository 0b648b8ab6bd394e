/** Scenarios of four published systems that kill servers, in their short form. */
import { kafkaSuite } from '../cluster/suite';
import { failures } from './figures';
import { scenarios } from './main';
import { play } from './scene';

const killing = Object.entries(scenarios).filter(([, { alone = false }]) => alone);

kafkaSuite(
  'scenarios that kill servers, in their short form',
  (suite) => {
    test.each(killing)('%s keeps what busbar promises', async (name, scenario) => {
      const figures = await play(scenario, {
        cluster: suite.cluster,
        ns: `${suite.namespace}-${name}`,
        short: true,
        speed: 1,
        say: () => undefined,
      });
      expect(figures.length).toBeGreaterThan(0);
      expect(failures(figures)).toEqual([]);
    });
  },
  { alone: true },
);

/** Scenarios of four published systems, in their short form. */
import { kafkaSuite } from '../cluster/suite';
import { failures } from './figures';
import { scenarios } from './main';
import { play } from './scene';

const shared = Object.entries(scenarios).filter(([, { alone = false }]) => !alone);

kafkaSuite('scenarios in their short form', (suite) => {
  test.each(shared)('%s keeps what busbar promises', async (name, scenario) => {
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
});

/** Scenarios of four published systems, in their short form. */
import { kafkaSuite } from '../cluster/suite';
import { scenarios } from './main';
import { playShort } from './scene';

const shared = Object.entries(scenarios).filter(([, { alone = false }]) => !alone);

kafkaSuite('scenarios in their short form', (suite) => {
  // One after another: a scenario whose buses wait for a processor measures the machine.
  test.each(shared)('%s keeps what busbar promises', async (name, scenario) => {
    expect(await playShort(scenario, suite, name)).toEqual([]);
  });
});

/** Scenarios of four published systems, in their short form. */
import { kafkaSuite } from '../cluster/suite';
import { scenarios } from './main';
import { playShort } from './scene';

const shared = Object.entries(scenarios).filter(([, { alone = false }]) => !alone);
const waiting = shared.filter(([, { waits = false }]) => waits);

kafkaSuite('scenarios in their short form', (suite) => {
  test.each(shared.filter((one) => !waiting.includes(one)))('%s keeps what busbar promises', async (name, scenario) => {
    expect(await playShort(scenario, suite, name)).toEqual([]);
  });

  test('those that wait most of the time keep what busbar promises', async () => {
    const played = waiting.map(async ([name, scenario]) => [name, await playShort(scenario, suite, name)]);
    expect(await Promise.all(played)).toEqual(waiting.map(([name]) => [name, []]));
  }, 240_000);
});

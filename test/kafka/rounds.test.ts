import { deferred } from '../../src/base/lifecycle';
import { commitAt, FakeKafka, Holder } from '../support/fake-kafka-log';

const sessionMs = 10_000;
let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

async function join(name: string, topic: string, holder = new Holder()) {
  const { log } = kafka.process(name);
  return { holder, member: await kafka.run(log.join('g', topic, holder, { sessionMs })) };
}
const joinsOf = (name: string): number =>
  kafka.cluster.asked('joinGroup').filter(({ client }) => client === name).length;

describe('the rebalances of a group', () => {
  it('do not include one for a commit that the current rebalance rejected', async () => {
    const { topic, log } = await kafka.open(2);
    const holder = new Holder(() => new Promise((given) => kafka.clock.after(1_000, given)));
    await kafka.run(log.join('g', topic, holder, { sessionMs }));
    kafka.cluster.script = ({ name, client }) =>
      name === 'joinGroup' && client === 'one' ? { delayMs: 200 } : undefined;
    const other = new Holder();
    const two = kafka.watch(kafka.process('two').log.join('g', topic, other, { sessionMs }));
    const before = joinsOf('one');
    await kafka.until(() => joinsOf('one') > before);
    kafka.faults('offsetCommit', { error: 'ILLEGAL_GENERATION' });
    const commit = kafka.watch(holder.owned.get(0)!.commit(commitAt(5)));
    await kafka.until(() => two.settled && commit.settled && other.owned.size === 1);
    await kafka.clock.advance(5_000);
    expect(commit.error).toBeUndefined();
    // One for the first member, one for the second, one for the moved partition.
    expect(kafka.cluster.group('g').generation).toBe(3);
  });

  it('assign new partitions to a member without waiting for commits of its other ones', async () => {
    const { topic, log } = await kafka.open(4);
    const [first, second] = [new Holder(), new Holder()];
    const one = await kafka.run(log.join('g', topic, first, { sessionMs }));
    await join('two', topic, second);
    await kafka.until(() => second.owned.size === 2);
    kafka.cluster.script = ({ name, client }) =>
      name === 'offsetCommit' && client === 'two' ? { delayMs: 3_000 } : undefined;
    const commit = kafka.watch([...second.owned.values()][0]!.commit(commitAt(5)));
    const closing = kafka.watch(one.close());
    await kafka.until(() => second.owned.size === 4, 1_000);
    expect(commit.settled).toBe(false);
    await kafka.until(() => commit.settled && closing.settled);
  });

  it.each([0, 10, 20, 40, 60, 80, 95])(
    'do not include one for a release %i ms after another began, which included it',
    async (afterMs) => {
      const { topic, log } = await kafka.open(6);
      const drained = [deferred<void>(), deferred<void>()] as const;
      const draining = [false, false];
      const holders = drained.map(
        ({ promise }, n) =>
          new Holder(async () => {
            if (draining[n]) await promise;
          }),
      );
      await kafka.run(log.join('g', topic, holders[0]!, { sessionMs }));
      await join('two', topic, holders[1]);
      await kafka.until(() => holders.every(({ owned }) => owned.size === 3));
      draining.fill(true);
      const { holder } = await join('three', topic);
      await kafka.until(() => holders.every(({ giving }) => giving.length === 1));
      await kafka.clock.advance(1_000);
      const before = joinsOf('one');
      drained[0].resolve();
      await kafka.until(() => joinsOf('one') > before);
      await kafka.clock.advance(afterMs);
      const said = joinsOf('two');
      drained[1].resolve();
      await kafka.until(() => holder.owned.size === 2);
      await kafka.clock.advance(5_000);
      expect(joinsOf('two') - said).toBe(1);
    },
  );
});

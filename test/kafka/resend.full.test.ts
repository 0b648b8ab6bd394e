/** A resend that arrives after a hand-over, and after more senders than a commit has room for. */
import { openNotices } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { incarnation } from '../../src/format/id';
import { seededRandom } from '../../src/memory/clock';
import { openSender } from '../../src/work/submit';
import { consumeQueue } from '../../src/work/queue/consumer';
import type { Sender, QueueConsumer } from '../../src/work/types';
import { group, jobs, topic } from '../support/work-queue';
import { FakeBench } from '../support/fake-kafka-log';
import type { KafkaProcess } from '../support/kafka-log-ports';

let bench: FakeBench;
beforeEach(() => (bench = new FakeBench()));
afterEach(() => bench.close());

const { resize } = jobs();
/** All jobs have one key, so they are stored in one partition. */
const key = 'k';
const random = seededRandom(11);

const around = (one: KafkaProcess) => ({
  clock: { ...bench.clock, now: () => Math.round(bench.clock.now()) },
  random,
  notices: openNotices(),
  scopes: openScopes(),
  log: one.log,
});

function openWorker(name: string, handled: number[]): Promise<QueueConsumer> {
  const parts = { ...around(bench.process(name)), middleware: [], version: '1.2.3' };
  const run = ({ n }: { n: number }): void => void handled.push(n);
  // The engine passes on what the schema returned, and this test submits jobs and nothing else.
  const entries = new Map([[resize.name, { entry: resize, run: run as Run }]]);
  return bench.run(
    consumeQueue(
      { ...parts, self: { module: 'photos', instance: `photos#${name}` } },
      { name: 'photos.work', topic, group, parkedTopic: { ...topic, name: 't.photos.parked' }, entries, other: 'hold' },
    ),
  );
}

/** A process that submits one job, as `busbar submit` from cron does. */
function openSubmitter(name: string): Sender {
  const self = { module: 'web', instance: `web#${name}` };
  const life = incarnation(random);
  return openSender({ ...around(bench.process(name)), self, ns: 't', incarnation: life, reached: 'broker' });
}
const submitOne = (name: string, n: number) => bench.watch(openSubmitter(name).send(resize, [{ n, key }]));

const sendersMany = 300;

it('handles a job once when its resend lands after a hand-over and 300 other senders', async () => {
  const handled: number[] = [];
  const one = await openWorker('one', handled);
  let mute = true;
  let written = false;
  bench.cluster.script = ({ client, name }) => {
    if (client !== 'slow' || name !== 'produce' || !mute) return undefined;
    if (written) return 'never'; // the resends meanwhile do not arrive
    written = true;
    return 'lost'; // the first batch is written, and its answer is lost
  };
  const slow = submitOne('slow', 0);
  await bench.until(() => handled.length === 1);
  for (let n = 1; n <= sendersMany; n++) {
    const other = submitOne(`web${n}`, n);
    await bench.until(() => other.settled);
  }
  await bench.until(() => handled.length === sendersMany + 1);
  const two = await openWorker('two', handled);
  await bench.run(one.close());
  mute = false;
  await bench.until(() => slow.settled);
  await bench.clock.advance(10_000);
  expect(handled.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sendersMany + 1 }, (_, n) => n));
  await bench.run(two.close());
});

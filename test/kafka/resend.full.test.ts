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
import { FakeKafka } from '../support/fake-kafka-log';
import type { KafkaProcess } from '../support/kafka-log-ports';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const { resize } = jobs();
/** All jobs have one key, so they are stored in one partition. */
const key = 'k';
const random = seededRandom(11);

const around = (one: KafkaProcess) => ({
  clock: { ...kafka.clock, now: () => Math.round(kafka.clock.now()) },
  random,
  notices: openNotices(),
  scopes: openScopes(),
  log: one.log,
});

function openWorker(name: string, handled: number[]): Promise<QueueConsumer> {
  const parts = { ...around(kafka.process(name)), middleware: [], version: '1.2.3' };
  const run = ({ n }: { n: number }): void => void handled.push(n);
  // The engine passes on what the schema returned, and this test submits jobs and nothing else.
  const entries = new Map([[resize.name, { entry: resize, run: run as Run }]]);
  return kafka.run(
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
  return openSender({ ...around(kafka.process(name)), self, ns: 't', incarnation: life, reached: 'broker' });
}
const submitOne = (name: string, n: number) => kafka.watch(openSubmitter(name).send(resize, [{ n, key }]));

const sendersMany = 300;

it('handles a job once when its resend lands after a hand-over and 300 other senders', async () => {
  const handled: number[] = [];
  const one = await openWorker('one', handled);
  let mute = true;
  let written = false;
  kafka.cluster.script = ({ client, name }) => {
    if (client !== 'slow' || name !== 'produce' || !mute) return undefined;
    if (written) return 'never'; // the resends meanwhile do not arrive
    written = true;
    return 'lost'; // the first batch is written, and its answer is lost
  };
  const slow = submitOne('slow', 0);
  await kafka.until(() => handled.length === 1);
  for (let n = 1; n <= sendersMany; n++) {
    const other = submitOne(`web${n}`, n);
    await kafka.until(() => other.settled);
  }
  await kafka.until(() => handled.length === sendersMany + 1);
  const two = await openWorker('two', handled);
  await kafka.run(one.close());
  mute = false;
  await kafka.until(() => slow.settled);
  await kafka.clock.advance(10_000);
  expect(handled.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sendersMany + 1 }, (_, n) => n));
  await kafka.run(two.close());
});

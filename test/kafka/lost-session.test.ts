/** Reports of an instance with several queues when it loses its sessions, and when brokers are down. */
import type { Closable } from '../../src/base/lifecycle';
import { openNotices, type Notice } from '../../src/base/notices';
import { defineModule, unchecked, work } from '../../src/contract/contract';
import { openScopes } from '../../src/delivery/context';
import { encodeBody } from '../../src/format/codec';
import { printEnvelope } from '../../src/format/envelope-printer';
import { seededRandom } from '../../src/memory/clock';
import { consumeQueue } from '../../src/work/queue/consumer';
import { parkedTopic, workTopic } from '../../src/work/topics';
import { openKafkaLog } from '../../src/kafka/log';
import { FakeKafka, record } from '../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

const { resize } = defineModule('photos', { resize: work(unchecked<number>()) });
const queues = ['work', 'bills', 'index'];

async function open() {
  const { clock } = kafka;
  const notices = openNotices(kafka.clock);
  const told: Notice[] = [];
  notices.watch((notice) => void told.push(notice));
  const random = seededRandom(3);
  const log = openKafkaLog({ client: kafka.cluster.wire('one'), clock, random, notices, self: 'photos#1', ns: '' });
  const parts = {
    clock,
    notices,
    scopes: openScopes(),
    middleware: [],
    log,
    random,
    self: { module: 'photos', instance: 'photos#1' },
    version: '',
  };
  const taken: Closable[] = [];
  for (const name of queues) {
    const topic = workTopic('t', 'photos', name === 'work' ? undefined : name);
    taken.push(
      await kafka.run(
        consumeQueue(parts, {
          name: `photos.${name}`,
          topic,
          group: topic.name,
          parkedTopic: parkedTopic('t', 'photos'),
          entries: new Map([[resize.name, { entry: resize, run: () => undefined }]]),
          other: 'hold',
          sessionMs: 10_000,
        }),
      ),
    );
  }
  const submit = async (n: number) => {
    for (const name of queues) {
      const topic = workTopic('t', 'photos', name === 'work' ? undefined : name);
      const bus = printEnvelope({ kind: 'work', entry: resize.name, id: `id${name}${n}`, from: 'web#1' });
      await log
        .append(topic.name, [{ ...record('', n % 12), value: encodeBody(n, 100), headers: { bus } }])
        .catch(() => undefined);
    }
  };
  return { log, told, taken, submit };
}
/** Returns notices of level warn and above: failed parts, and losses. */
const warnings = (told: readonly Notice[]): string[] =>
  told.flatMap((notice) => {
    if (notice.type === 'partition') return notice.change === 'lost' ? [`lost ${1 + (notice.also ?? []).length}`] : [];
    if (notice.type === 'state') return notice.ok ? [] : [notice.part];
    return notice.type === 'dropped' || notice.type === 'stuck' ? [notice.type] : [];
  });

/** Runs the fault for 30 s, with a job for each queue every second. Returns the notices. */
async function during(make: (on: boolean) => void): Promise<readonly Notice[]> {
  const { told, taken, submit, log } = await open();
  for (let n = 0; n < 24; n++) void submit(n);
  await kafka.clock.advance(3_000);
  told.length = 0;
  make(true);
  for (let n = 0; n < 30; n++) {
    void submit(n);
    await kafka.clock.advance(1_000);
  }
  make(false);
  await kafka.clock.advance(40_000);
  const heard = [...told];
  const closing = kafka.watch(Promise.all(taken.map((one) => one.close())).then(() => log.close()));
  await kafka.until(() => closing.settled, 120_000);
  return heard;
}
const ofGroups = ['heartbeat', 'joinGroup', 'syncGroup', 'offsetCommit'];
const nodes = [1, 2, 3];

describe('an instance with three queues of twelve partitions', () => {
  test.each([
    [
      'all brokers are frozen',
      (on: boolean) => nodes.forEach((n) => (on ? kafka.cluster.freeze(n) : kafka.cluster.thaw(n))),
    ],
    [
      'all brokers are dead',
      (on: boolean) => nodes.forEach((n) => (on ? kafka.cluster.kill(n) : kafka.cluster.start(n))),
    ],
  ])('warns once of the brokers and once of its 36 lost partitions while %s', async (_, make) => {
    const told = await during(make);
    expect(warnings(told)).toEqual(['kafka', 'lost 36']);
    expect(told.findLast(({ type }) => type === 'state')).toMatchObject({ part: 'kafka', ok: true });
  });

  test('reports an unresponsive coordinator once for each kind of failed operation', async () => {
    const told = await during((on) => {
      kafka.cluster.script = on ? ({ name }) => (ofGroups.includes(name) ? 'never' : undefined) : undefined;
    });
    const said = warnings(told);
    expect(said.filter((one) => one === 'lost 36')).toHaveLength(1);
    const kinds = said.map((one) => /^(?:lost 36|group|commits (?:in|of))/.exec(one)?.[0]);
    expect(new Set(kinds)).toEqual(new Set(['commits in', 'group', 'lost 36']));
    expect(said).toHaveLength(3);
    const group = told.find((notice) => notice.type === 'state' && notice.part.startsWith('group ') && !notice.ok);
    expect(group).toMatchObject({ also: [{ part: expect.any(String) }, { part: expect.any(String) }] });
    const works = told.filter((notice) => notice.type === 'state' && notice.part.startsWith('group ') && notice.ok);
    expect(works.length).toBeLessThanOrEqual(1);
  });
});

/** Topics at the servers that are missing, deleted or different: messages wait and are reported, and none is parked. */
import { BusError } from '../../src/base/errors';
import type { Operation } from '../../src/memory/faults';
import { parkedTopic } from '../../src/spool/parked';
import { other, spoolScene, values, work, type SpoolProcess } from '../support/spools';

type Scene = ReturnType<typeof spoolScene>;
const config = (fault: string) => ({
  error: new BusError('Config', fault, { faults: [fault] }, undefined, 'Run kafka-topics.'),
  done: false,
});
const isOf = ({ call, topic }: Operation, name: string): boolean => call === name && topic === work.name;
const parkedCount = async ({ machine }: Scene): Promise<number> => {
  const { log } = machine.process('look');
  return (await log.peek(parkedTopic('t').name, { partition: 0, offset: 0 }, { messages: 100, bytes: Infinity }))
    .length;
};
const reasonOf = ({ notices }: SpoolProcess): string | undefined => {
  const state = notices.findLast((notice) => notice.type === 'state' && notice.part === 'spool');
  return state?.type === 'state' && !state.ok ? state.reason : undefined;
};

test("messages for a topic that is missing with topics: 'verify' wait, are reported, and hold up no other topic", async () => {
  const scene = spoolScene();
  const { servers, clock, open, handled } = scene;
  servers.faults = (operation) =>
    isOf(operation, 'ensure') ? config(`topic '${work.name}' does not exist`) : undefined;
  const one = await open('one');
  await one.send(3);
  await one.send(3, 0, other);
  await clock.advance(10_000);
  expect(reasonOf(one)).toMatch(/1 of 4 partitions of t\.photos\.work wait: topic 't\.photos\.work' does not exist/);
  expect(await handled(0, other)).toEqual(values('one', 6, 4));
  servers.faults = undefined;
  await clock.advance(10_000);
  expect(await handled()).toEqual(values('one', 3));
  expect(reasonOf(one)).toBeUndefined();
  expect(await parkedCount(scene)).toBe(0);
});

test.each([
  ['missing', config(`topic '${work.name}' does not exist`)],
  [
    'without leaders',
    { error: new BusError('Unreachable', 'it has no leader', { outcome: 'not-sent', waitedMs: 1 }), done: false },
  ],
])(
  'messages that wait for a deleted topic, reported as %s, are sent after its creation, and none is parked',
  async (_, fault) => {
    const scene = spoolScene();
    const { servers, clock, open, handled } = scene;
    const one = await open('one');
    await one.send(3);
    await clock.advance(1_000);
    let exists = false;
    servers.faults = (operation) => {
      if (isOf(operation, 'ensure')) exists = true;
      return isOf(operation, 'append') && !exists ? fault : undefined;
    };
    await one.send(3);
    await one.send(3, 1);
    await clock.advance(5_000);
    expect(await handled()).toEqual(values('one', 6));
    expect(await handled(1)).toEqual(values('one', 9, 7));
    expect(await parkedCount(scene)).toBe(0);
  },
);

test("messages for a topic that was deleted wait while topics: 'verify' creates none", async () => {
  const scene = spoolScene();
  const { servers, clock, open, handled, waiting } = scene;
  const one = await open('one');
  await one.send(1);
  await clock.advance(1_000);
  servers.faults = (operation) =>
    isOf(operation, 'ensure') || isOf(operation, 'append') ? config(`topic '${work.name}' does not exist`) : undefined;
  await one.send(20);
  await clock.advance(60_000);
  expect(reasonOf(one)).toContain('does not exist');
  expect(await waiting()).toHaveLength(20);
  expect(await parkedCount(scene)).toBe(0);
  servers.faults = undefined;
  await clock.advance(5_000);
  expect(await handled()).toEqual(values('one', 21));
});

test('messages for a topic with fewer partitions wait, are reported, and hold up no other topic', async () => {
  const scene = spoolScene();
  const { servers, clock, open, handled, waiting } = scene;
  await servers.process('operator').log.ensure({ ...work, partitions: 2 });
  const one = await open('one');
  await one.send(2);
  await one.send(2, 3);
  await one.send(1, 0, other);
  await clock.advance(10_000);
  expect(reasonOf(one)).toMatch(/2 of 4 partitions of t\.photos\.work wait: .*has 2 partitions, not 4/);
  expect([(await waiting()).length, (await waiting(3)).length]).toEqual([2, 2]);
  expect(await handled(0, other)).toEqual(['one-5']);
  expect(await parkedCount(scene)).toBe(0);
});

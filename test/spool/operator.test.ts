/** The operator's view of a spool: its contents, replays and drops of what is parked, and sending what waits. */
import { openNotices } from '../../src/base/notices';
import { BusError } from '../../src/base/errors';
import type { Log } from '../../src/ports/log';
import { findParked, readContents, readWaiting, type Found } from '../../src/spool/contents';
import { emptySpool, type Emptied } from '../../src/spool/empty';
import { spoolReplayer } from '../../src/spool/replay';
import { other, spoolScene, values, work } from '../support/spools';

type Scene = ReturnType<typeof spoolScene>;
const away = () => ({
  error: new BusError('Unreachable', 'no answer', { outcome: 'not-sent', waitedMs: 1 }),
  done: false,
});

const contents = ({ machine, clock }: Scene) => readContents(machine.process('console').log, 't', clock);
async function parkedIn({ machine }: Scene): Promise<readonly Found[]> {
  const all: Found[] = [];
  for await (const one of findParked(machine.process('console').log, 't')) all.push(one);
  return all;
}
function replayer({ machine }: Scene, append?: Log['append']) {
  const { clock, random, log } = machine.process('console');
  return spoolReplayer({ local: append ? { append } : log, clock, random });
}

describe('the contents', () => {
  test('are the messages, bytes and oldest age of each topic, while the servers are away', async () => {
    const scene = spoolScene();
    scene.servers.faults = away;
    const one = await scene.open('one');
    expect(await contents(scene)).toEqual({ ns: 't', waiting: [], parked: [] });
    await one.send(3);
    await scene.clock.advance(4_000);
    await one.send(2, 1);
    await one.send(1, 0, other);
    await scene.clock.advance(1_000);
    const { waiting } = await contents(scene);
    expect(waiting).toMatchObject([
      { topic: other.name, messages: 1, oldestMs: 1_000 },
      { topic: work.name, messages: 5, oldestMs: 5_000 },
    ]);
    expect(waiting[1]?.bytes).toBeGreaterThan(5 * 10);
    one.crash();
    expect((await contents(scene)).waiting).toEqual(waiting);
  });

  test('leave out what was sent, although it is not removed yet', async () => {
    const scene = spoolScene();
    const one = await scene.open('one');
    scene.machine.faults = ({ call }) => (call === 'trim' ? away() : undefined);
    await one.send(3);
    await scene.clock.advance(1_000);
    expect(await scene.waiting()).toHaveLength(3);
    expect((await contents(scene)).waiting).toEqual([]);
  });

  test('contain what the servers refused, with the topic, the id, the entry, the reason and the time', async () => {
    const { scene } = await refused();
    const { parked } = await contents(scene);
    expect(parked).toMatchObject([
      { id: 'one-1', entry: 'photos.resize', topic: work.name, partition: 0, offset: 0, code: 'TooLarge', replay: 0 },
    ]);
    expect(parked[0]?.reason).toContain('the limit is');
    expect(parked[0]?.parkedAtMs).toBeGreaterThan(0);
  });
});

test('the waiting records are read in order, without those that were sent', async () => {
  const scene = spoolScene();
  const one = await scene.open('one');
  scene.machine.faults = ({ call }) => (call === 'trim' ? away() : undefined);
  await one.send(2);
  await scene.clock.advance(1_000);
  scene.servers.faults = away;
  await one.send(3);
  await one.send(1, 1);
  await one.send(1, 0, other);
  await scene.clock.advance(1_000);
  const found: string[] = [];
  for await (const { topic, record } of readWaiting(scene.machine.process('console').log))
    found.push(`${topic}/${record.partition} ${Buffer.from(record.value ?? []).toString()}`);
  expect(found.toSorted()).toEqual([
    `${other.name}/0 one-7`,
    ...[3, 4, 5].map((n) => `${work.name}/0 one-${n}`),
    `${work.name}/1 one-6`,
  ]);
});

/** Returns a scene in which the servers have refused `one-1`, until `limit.bytes` is raised, and have received `one-2`. */
async function refused() {
  const limit = { bytes: 1 };
  const scene = spoolScene({ servers: { recordBytesMax: () => limit.bytes } });
  const one = await scene.open('one');
  await one.send(1);
  await scene.clock.advance(2_000);
  limit.bytes = 1_000_000;
  await one.send(1);
  await scene.clock.advance(2_000);
  expect(await scene.handled()).toEqual(['one-2']);
  return { scene, one };
}

describe('a replay', () => {
  test('is handled although later messages of its sender were handled, and ends the parking', async () => {
    const { scene } = await refused();
    for (const found of await parkedIn(scene)) await replayer(scene).replay(found);
    await scene.clock.advance(2_000);
    expect(await scene.handled()).toEqual(['one-2', 'one-1']);
    expect((await scene.sent()).at(-1)?.headers['bus']).toContain('one-1');
    expect(await contents(scene)).toEqual({ ns: 't', waiting: [], parked: [] });
  });

  test('that ends before the message is removed from the parked ones leaves it parked, and sends it', async () => {
    const { scene } = await refused();
    const { log } = scene.machine.process('console');
    const broken = replayer(scene, async (topic, records) => {
      if (records.some(({ value }) => value === null)) throw new Error('crashed');
      return log.append(topic, records);
    });
    const [found] = await parkedIn(scene);
    await expect(broken.replay(found!)).rejects.toThrow('crashed');
    await scene.clock.advance(2_000);
    expect(await scene.handled()).toEqual(['one-2', 'one-1']);
    expect((await contents(scene)).parked).toHaveLength(1);
  });

  test('that cannot be appended leaves the message parked', async () => {
    const { scene } = await refused();
    const broken = replayer(scene, async () => Promise.reject(new Error('disk full')));
    const [found] = await parkedIn(scene);
    await expect(broken.replay(found!)).rejects.toThrow('disk full');
    expect((await contents(scene)).parked).toHaveLength(1);
  });
});

test('a drop removes a parked message for good', async () => {
  const { scene } = await refused();
  for (const found of await parkedIn(scene)) await replayer(scene).drop(found);
  await scene.clock.advance(2_000);
  expect(await contents(scene)).toEqual({ ns: 't', waiting: [], parked: [] });
  expect(await scene.handled()).toEqual(['one-2']);
});

describe('sending what waits', () => {
  /** Starts to empty the spool as a new process of the machine. */
  function empty({ machine, servers }: Scene, signal = new AbortController().signal) {
    const [local, server] = [machine.process('console'), servers.process('console')];
    const lines: Emptied[] = [];
    const parts = { ns: 't', clock: local.clock, notices: openNotices(), log: server.log, local: local.log };
    const ended = emptySpool(parts, { signal, progress: (line) => void lines.push(line) });
    return { ended, lines };
  }
  /** Returns a scene in which 7 messages of a crashed process wait. */
  async function left() {
    const scene = spoolScene();
    scene.servers.faults = away;
    const one = await scene.open('one');
    await one.send(5);
    await one.send(2, 1);
    await scene.clock.advance(1_000);
    one.crash();
    return scene;
  }

  test('ends when everything is sent, without any other process', async () => {
    const scene = await left();
    scene.servers.faults = undefined;
    const { ended } = empty(scene);
    await scene.clock.advance(25_000); // the session of the crashed process
    expect(await ended).toEqual({ sent: 7, left: 0, refused: 0, reason: null });
    expect(await scene.handled()).toEqual(values('one', 5));
    expect((await contents(scene)).waiting).toEqual([]);
  });

  test('ends when everything is sent by another process of the machine', async () => {
    const scene = await left();
    const two = await scene.open('two');
    await scene.clock.advance(25_000);
    const { ended } = empty(scene);
    scene.servers.faults = undefined;
    await scene.clock.advance(25_000);
    expect(await ended).toMatchObject({ sent: 7, left: 0 });
    await two.send(1);
    await scene.clock.advance(5_000);
    expect(await scene.handled()).toEqual([...values('one', 5), 'two-1']); // the process works on
  });

  test('ends with the reason and the number of those left, 30 s after the last one was sent', async () => {
    const scene = await left();
    const { ended, lines } = empty(scene);
    await scene.clock.advance(40_000);
    expect(await ended).toEqual({ sent: 0, left: 7, refused: 0, reason: expect.stringContaining('no answer') });
    expect(lines.length).toBeGreaterThan(100);
    scene.servers.faults = undefined;
    const again = empty(scene);
    await scene.clock.advance(10_000);
    expect(await again.ended).toMatchObject({ sent: 7, left: 0 });
    expect(await scene.handled()).toEqual(values('one', 5));
  });

  test('ends when it is stopped, and what the servers acknowledged is committed', async () => {
    const scene = await left();
    scene.servers.faults = ({ call, n }) => (call === 'append' && n > 1 ? away() : undefined);
    const stop = new AbortController();
    const { ended } = empty(scene, stop.signal);
    await scene.clock.advance(15_000);
    stop.abort();
    await scene.clock.advance(5_000);
    const { sent, left: rest } = await ended;
    expect([sent + rest, sent > 0, rest > 0]).toEqual([7, true, true]);
    scene.servers.faults = undefined;
    const again = empty(scene);
    await scene.clock.advance(10_000);
    expect(await again.ended).toMatchObject({ sent: rest, left: 0 });
    expect([await scene.sent(), await scene.sent(1)].map(({ length }) => length)).toEqual([5, 2]); // none was sent twice
  });

  test('counts what the servers refuse, which is parked', async () => {
    const scene = spoolScene({ servers: { recordBytesMax: 1 } });
    scene.servers.faults = away;
    const one = await scene.open('one');
    await one.send(2);
    one.crash();
    scene.servers.faults = undefined;
    const { ended } = empty(scene);
    await scene.clock.advance(25_000);
    expect(await ended).toEqual({ sent: 0, left: 0, refused: 2, reason: null });
  });
});

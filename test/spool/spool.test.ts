import { BusError } from '../../src/base/errors';
import type { Operation } from '../../src/memory/faults';
import { PartialAppendError } from '../../src/ports/log';
import { other, spoolScene, values, work } from '../support/spools';

const unreachable = (done: boolean) => ({
  error: new BusError('Unreachable', 'no answer', { outcome: done ? 'unknown' : 'not-sent', waitedMs: 1 }),
  done,
});
const isAppend = ({ call, topic }: Operation, name = work.name): boolean => call === 'append' && topic === name;

test('messages are accepted while the servers are away, and arrive in order when they are back', async () => {
  const { servers, clock, open, handled, waiting } = spoolScene();
  servers.faults = () => unreachable(false);
  const one = await open('one');
  await one.send(10);
  await one.send(10);
  await clock.advance(60_000);
  expect(await waiting()).toHaveLength(20);
  servers.faults = undefined;
  await clock.advance(5_000);
  expect(await handled()).toEqual(values('one', 20));
  expect(await waiting()).toEqual([]); // what was sent is removed
});

test('a list of unknown outcome is sent again before later ones, so that the filter drops copies only', async () => {
  const { servers, clock, open, sent, handled } = spoolScene();
  const one = await open('one');
  let left = 3;
  servers.faults = (operation) => (isAppend(operation) && left-- > 0 ? unreachable(true) : undefined);
  await one.send(5);
  await one.send(5);
  await clock.advance(5_000);
  expect((await sent()).length).toBeGreaterThan(10);
  expect(await handled()).toEqual(values('one', 10));
});

test('the next process sends what a crashed one has accepted', async () => {
  const { servers, clock, open, handled } = spoolScene();
  servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
  const one = await open('one');
  await one.send(7);
  await clock.advance(3_000);
  one.crash();
  servers.faults = undefined;
  await clock.advance(60_000);
  expect(await handled()).toEqual([]); // no process is left
  await open('two');
  await clock.advance(30_000);
  expect(await handled()).toEqual(values('one', 7));
});

test('another process of the machine takes over from a crashed one', async () => {
  const { servers, clock, open, handled } = spoolScene();
  const [one, two] = [await open('one'), await open('two')];
  await one.send(3);
  await two.send(3);
  await clock.advance(1_000);
  servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
  for (let partition = 0; partition < 4; partition++) await one.send(5, partition);
  one.crash();
  servers.faults = undefined;
  await clock.advance(60_000);
  for (let partition = 1; partition < 4; partition++) expect(await handled(partition)).toHaveLength(5);
  expect((await handled()).filter((value) => value.startsWith('one'))).toHaveLength(8);
});

test('a topic that cannot be written holds up no other one', async () => {
  const { servers, clock, open, handled } = spoolScene();
  servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
  const one = await open('one');
  await one.send(3);
  await one.send(3, 0, other);
  await clock.advance(1_000);
  expect(await handled(0, other)).toEqual(values('one', 6, 4));
  expect(await handled()).toEqual([]);
});

test('a message that the servers refuse for good is parked, and the others arrive in order', async () => {
  const { clock, open, handled, parked } = spoolScene({ servers: { recordBytesMax: 1_000 } });
  const one = await open('one');
  await one.send(3);
  const { value, ...rest } = { partition: 0, key: null, headers: {}, value: Buffer.alloc(2_000) };
  await one.spool.append(work.name, [{ ...rest, value }]);
  await one.send(3);
  await clock.advance(5_000);
  expect(await handled().catch(() => 'a record without a stamp')).toEqual(values('one', 6));
  expect(await parked()).toHaveLength(1);
  expect(one.notices).toContainEqual(
    expect.objectContaining({ type: 'log', level: 'error', message: expect.stringContaining('parked in the spool') }),
  );
});

describe("until 'broker'", () => {
  test('resolves with the place at the servers', async () => {
    const { clock, open } = spoolScene();
    const one = await open('one');
    await one.send(3);
    const [place] = await one.spool.append(work.name, [{ partition: 0, key: null, value: null, headers: {} }]);
    const found = one.spool.forwarded(work.name, [place!], 5_000);
    await clock.advance(1_000);
    expect(await found).toEqual([{ partition: 0, offset: 3 }]);
  });

  test('resolves without one when the time is over, and the message is sent all the same', async () => {
    const { servers, clock, open, sent } = spoolScene();
    servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
    const one = await open('one');
    await one.spool.ensure(work);
    const [place] = await one.spool.append(work.name, [{ partition: 0, key: null, value: null, headers: {} }]);
    const found = one.spool.forwarded(work.name, [place!], 5_000);
    await clock.advance(5_000);
    expect(await found).toBeUndefined();
    servers.faults = undefined;
    await clock.advance(5_000);
    expect(await sent()).toHaveLength(1);
  });

  test('rejects for a message that the servers refuse', async () => {
    const { clock, open } = spoolScene({ servers: { recordBytesMax: 100 } });
    const one = await open('one');
    await one.spool.ensure(work);
    const [place] = await one.spool.append(work.name, [
      { partition: 0, key: null, value: Buffer.alloc(200), headers: {} },
    ]);
    const found = one.spool.forwarded(work.name, [place!], 5_000);
    found.catch(() => undefined);
    await clock.advance(1_000);
    await expect(found).rejects.toMatchObject({ code: 'Config', message: expect.stringContaining('206 bytes') });
  });
});

describe('limits', () => {
  test('a full spool rejects with the bytes, the limit and the age of the oldest, until there is room', async () => {
    const { servers, clock, open, handled } = spoolScene();
    servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
    const one = await open('one', { bytesMax: 20_000, topicShare: 0.5 });
    const fill = async (): Promise<BusError<'SpoolFull'>> => {
      for (;;) {
        const error = await one.send(1).catch((thrown: unknown) => thrown);
        if (error !== undefined) return error as BusError<'SpoolFull'>;
      }
    };
    await fill();
    await clock.advance(10_000);
    const error = await fill();
    expect(error).toMatchObject({ code: 'SpoolFull', retryable: true, details: { limitBytes: 10_000 } });
    expect(error.details.bytes).toBeGreaterThan(8_000);
    expect(error.details.oldestMs).toBeGreaterThanOrEqual(9_000);
    await one.send(1, 0, other); // one topic cannot take all of it
    const states = one.notices.filter((notice) => notice.type === 'state' && notice.part === 'spool');
    expect(states.at(-1)).toMatchObject({ ok: false, reason: expect.stringContaining('spoolTopicShare') });
    servers.faults = undefined;
    await clock.advance(10_000);
    await one.send(1);
    await clock.advance(1_000);
    expect((await handled()).length).toBeGreaterThan(10);
    expect(one.notices.findLast((notice) => notice.type === 'state')).toMatchObject({ part: 'spool', ok: true });
  });

  test('a spool that was full reports that it has room again without another call', async () => {
    const { servers, clock, open } = spoolScene();
    servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
    const one = await open('one', { bytesMax: 10_000, topicShare: 1 });
    const fill = async (): Promise<void> => {
      for (;;) await one.send(1);
    };
    await expect(fill()).rejects.toMatchObject({ code: 'SpoolFull' });
    await clock.advance(10_000);
    const last = () => one.notices.findLast((notice) => notice.type === 'state' && notice.part === 'spool');
    expect(last()).toMatchObject({ ok: false });
    servers.faults = undefined;
    await clock.advance(10_000);
    expect(last()).toMatchObject({ ok: true });
  });
});

test('a process that cannot read the topics of the spool reports it, until it can', async () => {
  const { machine, clock, open } = spoolScene();
  const one = await open('one');
  machine.faults = ({ call }) => (call === 'topics' ? unreachable(false) : undefined);
  await clock.advance(10_000);
  const states = () => one.notices.filter((notice) => notice.type === 'state' && notice.part === 'spool');
  const reason = 'the topics of the spool cannot be read: no answer';
  expect(states()).toEqual([expect.objectContaining({ ok: false, ready: true, reason })]);
  machine.faults = undefined;
  await clock.advance(3_000);
  expect(states().at(-1)).toMatchObject({ ok: true });
});

test('messages that the servers neither acknowledge nor refuse are reported, until they are acknowledged', async () => {
  const { servers, clock, open, handled } = spoolScene();
  servers.faults = ({ call }) => (call === 'append' ? { delayMs: 60_000 } : undefined);
  const one = await open('one');
  await one.send(3);
  await clock.advance(10_000);
  const states = () => one.notices.filter((notice) => notice.type === 'state' && notice.part === 'spool');
  const reason = '1 of 4 partitions of t.photos.work wait: the brokers have not acknowledged them for 2 s';
  expect(states()).toEqual([expect.objectContaining({ ok: false, ready: true, reason })]);
  await clock.advance(60_000);
  expect(states().at(-1)).toMatchObject({ ok: true });
  expect(await handled()).toEqual(values('one', 3));
});

test('a process that cannot join the group reports that messages wait, until it has joined', async () => {
  const { machine, clock, open, handled } = spoolScene();
  machine.faults = ({ call }) => (call === 'join' ? unreachable(false) : undefined);
  const one = await open('one');
  await one.send(3);
  await clock.advance(10_000);
  const states = () => one.notices.filter((notice) => notice.type === 'state' && notice.part === 'spool');
  const reason = '4 of 4 partitions of t.photos.work wait: no answer';
  expect(states()).toEqual([expect.objectContaining({ ok: false, ready: true, reason })]);
  machine.faults = undefined;
  await clock.advance(5_000);
  expect(states().at(-1)).toMatchObject({ ok: true });
  expect(await handled()).toEqual(values('one', 3));
});

test('closing waits until the servers have what this process accepted', async () => {
  const { servers, clock, open, handled } = spoolScene();
  const one = await open('one');
  servers.faults = (operation) => (isAppend(operation) ? { delayMs: 500 } : undefined);
  await one.send(4);
  const closing = one.spool.close();
  await clock.advance(1_500);
  await closing;
  expect(await handled()).toEqual(values('one', 4));
});

test('a closed spool leaves the rest to other processes', async () => {
  const { servers, clock, open, handled } = spoolScene();
  servers.faults = (operation) => (isAppend(operation) ? unreachable(false) : undefined);
  const one = await open('one');
  await one.send(4);
  const closing = one.spool.close();
  await clock.advance(10_000);
  await closing;
  servers.faults = undefined;
  await open('two');
  await clock.advance(10_000);
  expect(await handled()).toEqual(values('one', 4));
});

describe('a topic that differs at the servers', () => {
  const differs = new BusError('Config', 'the topic has 2 partitions', { faults: [] }, undefined, 'Repair it.');

  test('makes its messages wait until it is repaired, and parks none', async () => {
    const { servers, clock, open, handled, parked } = spoolScene();
    const one = await open('one');
    await one.send(1);
    await clock.advance(1_000);
    // It was deleted and created with fewer partitions after it was found to be right.
    const isOfTopic = ({ call, topic }: Operation): boolean => topic === work.name && /append|ensure/.test(call);
    servers.faults = (operation) => (isOfTopic(operation) ? { error: differs, done: false } : undefined);
    await one.send(3);
    await clock.advance(10_000);
    expect(await parked()).toEqual([]);
    expect(one.notices.findLast((notice) => notice.type === 'state')).toMatchObject({
      ok: false,
      reason: expect.stringContaining('the topic has 2 partitions'),
    });
    servers.faults = undefined;
    await clock.advance(10_000);
    expect(await handled()).toEqual(values('one', 4));
  });

  test('parks no message when it is repaired between the refusal and the check', async () => {
    const { servers, clock, open, handled, parked } = spoolScene();
    const one = await open('one');
    let left = 1;
    servers.faults = (operation) => (isAppend(operation) && left-- > 0 ? { error: differs, done: false } : undefined);
    await one.send(1);
    await clock.advance(10_000);
    expect([await handled(), await parked()]).toEqual([values('one', 1), []]);
  });
});

test('the written messages of a list of which one is refused have a place', async () => {
  const { clock, open, machine } = spoolScene();
  const servers = machine.process('servers').log; // any log, since this test replaces its append
  const tooLarge = new BusError('TooLarge', 'too large', { bytes: 2, limitBytes: 1 });
  const one = await open('one', {
    log: {
      ...servers,
      append: async (_, records) => {
        const places = records.map(({ partition }, n) => (n === 0 ? undefined : { partition, offset: 100 + n }));
        throw new PartialAppendError(tooLarge, new Map([[0, tooLarge]]), records.length, places);
      },
    },
  });
  await one.spool.ensure(work);
  const record = { partition: 0, key: null, value: null, headers: {} };
  const [, second] = await one.spool.append(work.name, [record, record]);
  const found = one.spool.forwarded(work.name, [second!], 5_000);
  await clock.advance(1_000);
  expect(await found).toEqual([{ partition: 0, offset: 101 }]);
});

test('a commit that failed is reported until one succeeds, without further messages', async () => {
  const { machine, clock, open } = spoolScene();
  const one = await open('one');
  const last = () => one.notices.findLast((notice) => notice.type === 'state' && notice.part === 'spool');
  machine.faults = ({ call }) => (call === 'commit' ? unreachable(false) : undefined);
  await one.send(1);
  await clock.advance(10_000);
  expect(last()).toMatchObject({ ok: false });
  machine.faults = undefined;
  await clock.advance(5_000);
  expect(last()).toMatchObject({ ok: true });
});

describe('closing', () => {
  test('waits at most 2 s for servers that do not respond', async () => {
    const { servers, clock, open } = spoolScene();
    servers.faults = ({ call }) => (call === 'ensure' ? { delayMs: 60_000 } : undefined);
    const one = await open('one');
    await one.send(1);
    await clock.advance(1_000);
    let isClosed = false;
    void one.spool.close().then(() => (isClosed = true));
    await clock.advance(2_100);
    expect(isClosed).toBe(true);
  });

  test('joins no group for a topic that is ensured afterwards', async () => {
    const { clock, open, machine } = spoolScene();
    const one = await open('one');
    await one.spool.close();
    await one.spool.ensure(work);
    await clock.advance(5_000);
    expect(await machine.process('look').log.groups()).toEqual([]);
  });
});

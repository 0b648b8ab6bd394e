/** Verbs of a bus, on parts that record their calls. */
import { BusError } from '../../src/base/errors';
import { closable } from '../../src/base/lifecycle';
import { openNotices } from '../../src/base/notices';
import { createVerbs, type VerbsParts } from '../../src/bus/verbs';
import { broadcast, defineModule, event, request, unchecked, work } from '../../src/contract/contract';
import { currentScope, openScopes } from '../../src/delivery/context';
import { virtualClock } from '../../src/memory';
import { instanceOf } from '../support/instances';
import { PeerTarget } from '../../src/request/peers';

const photos = defineModule('photos', {
  add: request(unchecked<number>(), unchecked<string>()),
  resize: work(unchecked<number>()),
  dropCache: broadcast(unchecked<number>()),
  added: event(unchecked<number>()),
});

function open(change: Partial<VerbsParts> = {}) {
  const calls: unknown[][] = [];
  const scopes = openScopes();
  const served = closable(async () => {});
  const running = ['photos#1', 'photos#2'].map((name) => instanceOf(name, { module: 'photos' }));
  const records =
    <R>(name: string, result: R) =>
    async (...args: readonly unknown[]): Promise<R> => {
      calls.push([name, ...args]);
      return result;
    };
  const verbs = createVerbs({
    clock: virtualClock(),
    notices: openNotices(),
    scopes,
    self: { module: 'web', instance: 'web#1' },
    phase: { mustBeOpen() {}, start: (step) => step },
    health: { read: () => ({ live: true, ready: true, reasons: [] }) },
    stats: async () => ({ queues: [], requests: [], pending: [], parked: [], spool: undefined }),
    caller: { ask: (entry, input, options) => records('ask', 'a reply')(entry.name, input, options) },
    peers: { of: () => running.map((one) => new PeerTarget(one)), known: () => running },
    timeoutMs: () => 5_000,
    sender: {
      async send(entry, inputs, how) {
        calls.push(['send', entry.name, inputs, how]);
        return inputs.map((_, n) => ({ id: `m${n}`, reached: 'disk' }));
      },
      lastPlaces: async () => [],
    },
    broadcaster: { broadcast: (entry, input) => records('broadcast', { id: 'm1' })(entry.name, input) },
    subscriptions: { listen: (topic, entry) => records('plain', served)(topic.name, entry.name) },
    topicOf: ({ name }) => ({ name: `topic of ${name}`, partitions: 1, compacted: false, keepMs: null }),
    serveContract: (_contract, _handlers, options) => records('serve', served)(options),
    listenAs: (entry, options) => records('named', served)(entry.name, options),
    ...change,
  });
  return { verbs, calls, scopes };
}

/** A call of each verb that sends or receives. */
const calls: Readonly<Record<string, (verbs: ReturnType<typeof open>['verbs']) => Promise<unknown>>> = {
  request: (verbs) => verbs.request(photos.add, 1),
  requestAll: (verbs) => verbs.requestAll(photos.add, 1),
  submit: (verbs) => verbs.submit(photos.resize, 1),
  submitAll: (verbs) => verbs.submitAll(photos.resize, [1]),
  broadcast: (verbs) => verbs.broadcast(photos.dropCache, 1),
  publish: (verbs) => verbs.publish(photos.added, 1),
  publishAll: (verbs) => verbs.publishAll(photos.added, [1]),
  flush: (verbs) => verbs.flush(),
  listen: (verbs) => verbs.listen(photos.added, () => {}),
  serve: (verbs) => verbs.serve(photos, { add: () => '', resize() {}, dropCache() {} }),
};

test('request passes its options to the caller, and resolves with the reply', async () => {
  const { verbs, calls } = open();
  expect(await verbs.request(photos.add, 1, { key: 'alps' })).toBe('a reply');
  expect(calls).toEqual([['ask', 'photos.add', 1, { key: 'alps' }]]);
});

test('tryRequest returns errors of the bus, and throws others', async () => {
  const late = new BusError('Timeout', 'too late', { reached: 'sent', timeoutMs: 5 });
  const failing = (error: Error) => open({ caller: { ask: async () => Promise.reject(error) } }).verbs;
  expect(await failing(late).tryRequest(photos.add, 1)).toEqual({ ok: false, error: late });
  await expect(failing(new TypeError('a defect')).tryRequest(photos.add, 1)).rejects.toThrow('a defect');
  expect(await open().verbs.tryRequest(photos.add, 1)).toEqual({ ok: true, value: 'a reply' });
});

test('requestAll sends one request to each instance, and an error of one is its answer', async () => {
  const lost = new BusError('ResponderLost', 'it died', { instance: 'photos#2' });
  const { verbs } = open({
    caller: { ask: async (_entry, _input, { to } = {}) => (to === 'photos#2' ? Promise.reject(lost) : to) },
  });
  expect(await verbs.requestAll(photos.add, 1)).toEqual([
    { from: { module: 'photos', instance: 'photos#1' }, ok: true, value: 'photos#1' },
    { from: { module: 'photos', instance: 'photos#2' }, ok: false, error: lost },
  ]);
});

test('submit and publish send one message, and their lists send all in one call', async () => {
  const { verbs, calls } = open();
  expect(await verbs.submit(photos.resize, 1)).toEqual({ id: 'm0', reached: 'disk' });
  expect(await verbs.publishAll(photos.added, [2, 3])).toHaveLength(2);
  expect(calls).toEqual([
    ['send', 'photos.resize', [1], 'one'],
    ['send', 'photos.added', [2, 3], 'list'],
  ]);
});

describe('flush', () => {
  const failure = new BusError('Unreachable', 'no answer', { outcome: 'unknown', waitedMs: 1 });
  const place = { topic: 't', partition: 3, offset: 41 };

  /** Verbs whose sends end when the test ends them, in the order of the calls. */
  function pausing() {
    const sends: ((error?: Error) => void)[] = [];
    const send = () =>
      new Promise<{ id: string; reached: 'disk' }[]>((resolve, reject) => {
        sends.push((error) => (error ? reject(error) : resolve([{ id: 'm', reached: 'disk' }])));
      });
    return { ...open({ sender: { send, lastPlaces: async () => [place] } }), sends };
  }

  test.each(['submit', 'submitAll', 'publish', 'publishAll'])('waits for an open %s', async (verb) => {
    const { verbs, sends } = pausing();
    const call = calls[verb]?.(verbs);
    let flushed = false;
    const flushing = verbs.flush().then((places) => ((flushed = true), places));
    const later = verbs.submit(photos.resize, 2);
    await new Promise((resolve) => setImmediate(resolve));
    expect(flushed).toBe(false);
    sends[0]?.();
    expect(await flushing).toEqual([place]);
    sends[1]?.();
    await Promise.all([call, later]);
  });

  test('resolves after a failed call, whose caller has received the error before', async () => {
    const { verbs, sends } = pausing();
    const failures: unknown[] = [];
    const inBetween = async (): Promise<unknown> => verbs.publish(photos.added, 1);
    verbs.submit(photos.resize, 1).catch((error: unknown) => failures.push(error));
    inBetween().catch((error: unknown) => failures.push(error));
    const flushing = verbs.flush();
    for (const end of sends) end(failure);
    await flushing;
    expect(failures).toEqual([failure, expect.objectContaining({ message: failure.message })]);
  });
});

test('listen starts a plain listener for a function, and a named one for options', async () => {
  const { verbs, calls } = open();
  await verbs.listen(photos.added, () => {});
  await verbs.listen(photos.added, { as: 'index' }, () => {});
  expect(calls).toEqual([
    ['plain', 'topic of photos.added', 'photos.added'],
    ['named', 'photos.added', { as: 'index' }],
  ]);
});

test('serve and listen are tracked as steps of opening', async () => {
  const started: unknown[] = [];
  const { verbs } = open({ phase: { mustBeOpen() {}, start: (step) => (started.push(step), step) } });
  await calls['serve']?.(verbs);
  await calls['listen']?.(verbs);
  expect(started).toHaveLength(2);
});

test.each(Object.entries(calls))(
  '%s rejects with Closed after the bus was closed, and calls no part',
  async (_, call) => {
    const closed = new BusError('Closed', 'the bus of web#1 was closed', { outcome: 'not-sent', sinceMs: 0 });
    const mustBeOpen = (): never => {
      throw closed;
    };
    const { verbs, calls } = open({ phase: { mustBeOpen, start: (step) => step } });
    await expect(call(verbs)).rejects.toBe(closed);
    expect(calls).toEqual([]);
  },
);

test('an entry of another kind is rejected with Config, and no part is called', async () => {
  const { verbs, calls } = open();
  await expect(verbs.submit(photos.added as unknown as typeof photos.resize, 1)).rejects.toMatchObject({
    code: 'Config',
  });
  await expect(verbs.request(photos.resize as unknown as typeof photos.add, 1)).rejects.toMatchObject({
    code: 'Config',
  });
  await expect(verbs.listen(photos.added, { as: 'index' }, undefined as never)).rejects.toMatchObject({
    code: 'Config',
  });
  expect(calls).toEqual([]);
});

test('with adds baggage to that of the scope around it, and keeps its deadline and id', () => {
  const { verbs, scopes } = open();
  const outer = { id: 'm1', deadline: 9, baggage: { tenant: 'acme' }, traceparent: undefined, open: true };
  const inner = scopes.run(outer, () => verbs.with({ user: 'ann' } as object, () => currentScope(scopes)));
  expect(inner).toMatchObject({ id: 'm1', deadline: 9, baggage: { tenant: 'acme', user: 'ann' } });
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  expect(verbs.with({}, () => currentScope(scopes), traceparent)).toMatchObject({ id: undefined, traceparent });
  expect(() => verbs.with({}, () => 0, 'no trace')).toThrow(expect.objectContaining({ code: 'Invalid' }));
});

test('instances returns the known instances, and health the state of this one', () => {
  const { verbs } = open();
  expect(verbs.instances(photos).map((one) => one.instance)).toEqual(['photos#1', 'photos#2']);
  expect(verbs.health()).toEqual({ live: true, ready: true, reasons: [] });
});

test.each(['request', 'tryRequest', 'requestAll'] as const)(
  'an error of %s has the line of its caller, without a frame of the bus',
  async (verb) => {
    const ask = () =>
      new Promise((_, reject) => setImmediate(() => reject(new BusError('Cancelled', 'aborted', { reason: 'test' }))));
    const { verbs } = open({ caller: { ask } });
    async function userCode(): Promise<unknown> {
      return await verbs[verb](photos.add, 1);
    }
    const result = (await userCode().catch((error: unknown) => ({ error }))) as { error: Error } | { error: Error }[];
    const { error } = Array.isArray(result) ? (result[0] ?? { error: undefined }) : result;
    expect(error?.stack?.split('--- called from ---')[1]?.trim()).toMatch(/^at (async )?userCode \(.*verbs\.test/);
  },
);

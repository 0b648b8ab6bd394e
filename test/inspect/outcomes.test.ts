import { defineModule, request, unchecked } from '../../src/contract/contract';
import type { OutgoingCounts } from '../../src/delivery/outgoing';
import { alarmsOfEntries, entriesOf } from '../../src/inspect/outcomes';
import type { InstanceView } from '../../src/inspect/types';
import { inspectedBuses, photos } from '../support/inspected-buses';

const bank = defineModule('bank', { settle: request(unchecked<number>(), unchecked<string>()) });
const rest = { resize: () => {}, rotate: () => {} };

/** Calls `photos.add` once in each second, and returns the alarms and entries of the status after each. */
async function callFor(
  { clock, inspector, soon }: ReturnType<typeof inspectedBuses>,
  call: (second: number) => unknown,
  seconds: number,
) {
  const look = await inspector();
  const seen = [];
  for (let second = 0; second < seconds; second++) {
    void Promise.resolve(call(second)).catch(() => undefined);
    await clock.advance(1_000);
    const { alarms, entries } = await soon(look.status());
    seen.push({ alarms, entry: entries.find(({ entry }) => entry === 'photos.add') });
  }
  return seen;
}

test('requests that time out are critical after 10 s, with the handlers as the cause and the callers', async () => {
  const buses = inspectedBuses();
  const bus = await buses.open('photos');
  await bus.serve(photos, { ...rest, add: () => new Promise<string>(() => {}) }, { concurrency: { add: 2 } });
  const web = await buses.open('web');
  const seen = await callFor(buses, () => web.request(photos.add, { name: 'x' }, { timeoutMs: 500 }), 25);
  expect(seen.slice(0, 10).flatMap(({ alarms }) => alarms)).toEqual([]);
  const last = seen.at(-1);
  expect(last?.alarms).toMatchObject([
    { severity: 'critical', what: 'timing out', about: 'photos.add', next: 'busbar running photos.add' },
  ]);
  expect(last?.alarms[0]?.message).toMatch(
    /^25 of 25 requests by web#1 failed within a minute \(25 Timeout\): 2 of 2 handlers busy/,
  );
  expect(last?.entry).toMatchObject({
    kind: 'request',
    responders: 1,
    running: 2,
    limit: 2,
    senders: [{ instance: 'web#1', ok: 0, errors: { Timeout: 25 } }],
  });
});

test('requests that fail now and then are one warning that does not alternate, and ends after 30 s', async () => {
  const buses = inspectedBuses();
  const bus = await buses.open('photos');
  const add = ({ name }: { name: string }): string => {
    if (name === 'bad') throw new Error('no disk');
    return name;
  };
  await bus.serve(photos, { ...rest, add });
  const web = await buses.open('web');
  const call = (name: string): Promise<string> => web.request(photos.add, { name });
  const seen = await callFor(buses, (second) => call(second % 9 === 0 && second < 80 ? 'bad' : 'ok'), 130);
  const kinds = seen.map(({ alarms }) => alarms.map(({ severity, what }) => `${severity} ${what}`).join());
  expect([...new Set(kinds)]).toEqual(['', 'warning failing']);
  const [from, to] = [kinds.indexOf('warning failing'), kinds.lastIndexOf('warning failing')];
  expect(kinds.slice(from, to + 1)).not.toContain('');
  expect(from).toBeGreaterThanOrEqual(10);
  expect(to).toBeGreaterThanOrEqual(72 + 28);
  expect(to).toBeLessThanOrEqual(72 + 31);
  expect(seen[70]?.alarms[0]?.message).toMatch(
    /^6 of (?:59|6\d) requests by web#1 failed within a minute \(6 HandlerFailed\): photos\.add: its handler at photos#1 failed: no disk/,
  );
});

test('a module that is called and has no instance is critical, with its callers', async () => {
  const { open, inspector, soon, clock } = inspectedBuses();
  const [web, shop] = [await open('web'), await open('shop')];
  const look = await inspector();
  for (const caller of [web, shop, shop]) await caller.request(bank.settle, 1).catch(() => undefined);
  expect((await soon(look.status())).alarms).toMatchObject([{ severity: 'warning', what: 'no instance' }]);
  await clock.advance(12_000);
  const { alarms } = await soon(look.status());
  expect(alarms).toEqual([
    {
      severity: 'critical',
      about: 'bank',
      what: 'no instance',
      forMs: 12_000,
      message: 'no instance of bank is running: 3 requests of bank.settle by shop#1 and web#1 failed within a minute',
      next: 'busbar instances',
    },
  ]);
  const bus = await open('bank');
  await bus.serve(bank, { settle: () => '' });
  expect((await soon(look.status())).alarms).toEqual([]);
});

describe('alarmsOfEntries', () => {
  const counts: OutgoingCounts = {
    entry: 'bank.settle',
    kind: 'request',
    contract: null,
    windowMs: 60_000,
    ok: 50,
    failures: 0,
    errors: {},
    failing: null,
    tookMs: null,
  };
  const failing = (code: string) => ({ sinceMs: 80_000, lastMs: 99_000, ok: 5, code, message: `${code}!` });
  function alarms(senders: Record<string, Partial<OutgoingCounts>>) {
    const instances = Object.entries(senders).map(([name, more]) => ({
      name,
      module: name,
      serves: name === 'bank#1' ? { bank: 'x' } : {},
      leaving: false,
      status: { outgoing: [{ ...counts, ...more }] },
    }));
    // Only these fields of an instance are read.
    return alarmsOfEntries(entriesOf(instances as unknown as InstanceView[]), 100_000);
  }

  test('reports refused requests, and names the senders with the most errors', () => {
    const found = alarms({
      'bank#1': {},
      'a#1': { errors: { Overloaded: 2 }, failing: failing('Overloaded') },
      'b#1': { errors: { Overloaded: 7, Timeout: 1 }, failing: failing('Overloaded') },
      'c#1': { errors: { NotAllowed: 3 }, failing: failing('NotAllowed') },
    });
    expect(found).toMatchObject([{ severity: 'warning', what: 'refused', about: 'bank.settle', forMs: 20_000 }]);
    expect(found[0]?.message).toMatch(
      /^13 of 163 requests by b#1, c#1 and 1 more failed within a minute \(9 Overloaded, 3 NotAllowed, 1 Timeout\)/,
    );
  });

  test('reports jobs that cannot be sent', () => {
    const about = { kind: 'work', errors: { SpoolFull: 4 }, failing: failing('SpoolFull') } as const;
    expect(alarms({ 'bank#1': { kind: 'work' }, 'a#1': about })).toMatchObject([
      {
        what: 'refused',
        message: '4 of 54 messages by a#1 failed within a minute (4 SpoolFull): SpoolFull!',
        next: 'busbar instances bank',
      },
    ]);
  });

  test('reports nothing about a single error, nor about the requests of operators', () => {
    const once = { ...failing('Timeout'), lastMs: 80_000 };
    expect(alarms({ 'bank#1': {}, 'a#1': { errors: { Timeout: 1 }, failing: once } })).toEqual([]);
    const own = { entry: 'busbar.status', errors: { Timeout: 9 }, failing: failing('Timeout') };
    expect(alarms({ 'bank#1': {}, 'a#1': own })).toEqual([]);
  });
});

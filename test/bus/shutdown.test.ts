/** Order and limits of closing a bus, on parts that record what they are called for. */
import { deferred } from '../../src/base/lifecycle';
import { openNotices, type Notice } from '../../src/base/notices';
import { openPhase } from '../../src/bus/phase';
import { shutdownOf, type ShutdownParts } from '../../src/bus/shutdown';
import { openScopes } from '../../src/delivery/context';
import { virtualClock } from '../../src/memory';

const [drainMs, lingerMs] = [1_000, 200];

function open(change: (record: (step: string) => void) => Partial<ShutdownParts> = () => ({})) {
  const clock = virtualClock();
  const notices = openNotices();
  const phase = openPhase({ clock, scopes: openScopes(), instance: 'photos#1' });
  const startMs = clock.mono();
  const steps: string[] = [];
  const record = (step: string): void => void steps.push(`${clock.mono() - startMs} ${step} ${phase.name}`);
  const does = (step: string) => async () => record(step);
  const parts: ShutdownParts = {
    clock,
    notices,
    instance: 'photos#1',
    timings: { drainMs, lingerMs },
    phase,
    health: { leave: () => record('health.leave'), close: () => record('health.close') },
    announcer: { leave: does('announcer') },
    leaver: { goodbye: does('goodbye') },
    queues: [{ name: 'photos.work', close: does('queue'), abortRunning: () => record('abort') }],
    subscriptions: { close: does('events') },
    answerer: { drain: does('answerer') },
    receiver: { drain: does('receiver') },
    caller: { close: () => record('caller') },
    sender: { close: does('sender') },
    retention: { close: () => record('retention') },
    peers: { close: does('peers') },
    closePorts: does('ports'),
    ...change(record),
  };
  const reports: Notice[] = [];
  notices.watchStates((notice) => reports.push(notice));
  return { clock, phase, steps, reports, shutdown: shutdownOf(parts) };
}

/** Closes, and lets virtual time run until that has settled. */
async function closed({ clock, shutdown }: ReturnType<typeof open>): Promise<PromiseSettledResult<void>> {
  let isSettled = false;
  const end = Promise.allSettled([shutdown.close()]);
  void end.then(() => (isSettled = true));
  await clock.runUntil(() => isSettled, 60_000);
  const [result] = await end;
  return result;
}

test('an instance announces its leaving first, and closes what sends after its handlers have ended', async () => {
  const bus = open();
  expect(await closed(bus)).toMatchObject({ status: 'fulfilled' });
  expect(bus.steps).toEqual([
    '0 health.leave leaving',
    '0 announcer leaving',
    '0 goodbye leaving',
    '0 queue leaving',
    '0 events leaving',
    '0 answerer leaving',
    '0 receiver leaving',
    '0 abort leaving',
    '200 caller leaving',
    '200 sender leaving',
    '200 retention leaving',
    '200 peers closed',
    '200 health.close closed',
    '200 ports closed',
  ]);
});

test('handlers of a queue are aborted after drainMs, and closing continues without a commit', async () => {
  const bus = open((record) => ({
    queues: [{ name: 'photos.work', close: () => deferred<void>().promise, abortRunning: () => record('abort') }],
  }));
  expect(await closed(bus)).toMatchObject({ status: 'fulfilled' });
  expect(bus.steps).toContain('1000 abort leaving');
  expect(bus.steps).toContain('1500 caller leaving');
});

test('closing waits for steps of opening for at most drainMs', async () => {
  for (const endsAfterMs of [300, Infinity]) {
    const bus = open();
    const opening = deferred<void>();
    void bus.phase.start(opening.promise);
    if (endsAfterMs !== Infinity) bus.clock.after(endsAfterMs, () => opening.resolve());
    expect(await closed(bus)).toMatchObject({ status: 'fulfilled' });
    expect(bus.steps).toContain(`${Math.min(endsAfterMs, drainMs)} queue leaving`);
  }
});

test('a part that cannot be closed is reported, and the next steps run', async () => {
  const fails = async (): Promise<never> => Promise.reject(new Error('EIO'));
  const bus = open(() => ({
    announcer: { leave: fails },
    queues: [{ name: 'photos.work', close: fails, abortRunning() {} }],
    subscriptions: { close: fails },
    sender: { close: fails },
    peers: { close: fails },
  }));
  expect(await closed(bus)).toMatchObject({ status: 'fulfilled' });
  const report = (part: string) => ({ type: 'state', part, ok: false, reason: 'closing: EIO' });
  expect(bus.reports).toEqual(
    expect.arrayContaining(['registry', 'queue photos.work', 'events', 'sender'].map((part) => report(part))),
  );
  expect(bus.steps.at(-1)).toBe('200 ports closed');
});

test('a second close runs only the steps that failed', async () => {
  let failures = 1;
  const bus = open((record) => ({
    async closePorts() {
      record('ports');
      if (failures-- > 0) throw new Error('EBUSY');
    },
  }));
  expect(await closed(bus)).toMatchObject({ status: 'rejected', reason: { message: 'EBUSY' } });
  const before = bus.steps.length;
  expect(await closed(bus)).toMatchObject({ status: 'fulfilled' });
  expect(bus.steps.slice(before)).toEqual(['200 ports closed']);
});

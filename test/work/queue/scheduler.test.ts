import { virtualClock } from '../../../src/memory';
import { openLanes } from '../../../src/work/queue/lanes';
import { Scheduler, type Candidate } from '../../../src/work/queue/scheduler';

const message = (lane: string, crashes = 0): Candidate => ({
  partition: 0,
  offset: 0,
  entry: 'a',
  lane,
  runsIn: undefined,
  attempts: crashes,
  interrupted: crashes > 0,
});

/** A scheduler of handlers that run until `scheduler.done`, without a log. `started` holds their lanes. */
function schedule({ handlerMs = 0, concurrency = 100, perSecond = Infinity } = {}) {
  const clock = virtualClock();
  const lanes = openLanes<Candidate>(new Map([['a', { concurrency, perSecond }]]), () => true);
  const started: (string | null)[] = [];
  const running = new Set<Candidate>();
  const lost = new Set<Candidate>();
  let reads = 0;
  let burnedMs = 0;
  const start = (one: Candidate): void => {
    started.push(one.lane);
    running.add(one);
    burnedMs += handlerMs;
  };
  const scheduler = new Scheduler<Candidate>({
    clock: { ...clock, after: (ms, run) => clock.after(ms, run), mono: () => clock.mono() + burnedMs },
    lanes,
    handoverMs: 1_000,
    attemptsMax: () => 8,
    mayRun: (one) => !lost.has(one),
    runsAny: () => running.size > 0,
    start,
    startRecorded: start,
    readMore: () => reads++,
  });
  const add = (...added: Candidate[]): void => {
    for (const one of added) lanes.add(one);
    scheduler.pump();
  };
  const end = (one: Candidate): void => {
    running.delete(one);
    scheduler.done(one);
  };
  return { clock, lanes, scheduler, started, lost, add, end, reads: () => reads };
}

test('starts all messages of different lanes at once, and reads more while handlers are free', () => {
  const { started, add, reads } = schedule();
  add(message('x'), message('y'), message('x'));
  expect(started).toEqual(['x', 'y']);
  expect(reads()).toBe(1);
});

test('reads no more while no further handler can run', () => {
  const { started, add, reads } = schedule({ concurrency: 1 });
  add(message('x'), message('y'));
  expect(started).toEqual(['x']);
  expect(reads()).toBe(0);
});

test('yields to the event loop after 10 ms of starting messages', async () => {
  const { clock, scheduler, started, add } = schedule({ handlerMs: 6 });
  add(message('x'), message('y'), message('z'));
  expect(started).toEqual(['x', 'y']);
  expect(scheduler.isYielding).toBe(true);
  await clock.advance(0);
  expect(started).toEqual(['x', 'y', 'z']);
  expect(scheduler.isYielding).toBe(false);
});

test('starts the next message when the rate allows it', async () => {
  const { clock, started, add } = schedule({ perSecond: 1 });
  add(message('x'), message('y'));
  expect(started).toEqual(['x']);
  await clock.advance(1_001);
  expect(started).toEqual(['x', 'y']);
});

test('offers a failed message again after its delay', async () => {
  const { clock, scheduler, started, add } = schedule();
  const failed = message('x');
  add(failed);
  scheduler.retry(failed, 500, 'in-order');
  await clock.advance(499);
  expect(started).toEqual(['x']);
  await clock.advance(1);
  expect(started).toEqual(['x', 'x']);
});

test('after two crashes a message runs alone', () => {
  const { started, add, end } = schedule();
  const before = message('before');
  const suspect = message('suspect', 2);
  add(before);
  add(suspect, message('after'));
  expect(started).toEqual(['before']);
  end(before);
  expect(started).toEqual(['before', 'suspect']);
  end(suspect);
  expect(started).toEqual(['before', 'suspect', 'after']);
});

test('a message that runs alone waits and blocks for at most handoverMs each', async () => {
  const { clock, started, add } = schedule();
  add(message('before'));
  add(message('suspect', 2), message('after'));
  await clock.advance(999);
  expect(started).toEqual(['before']);
  await clock.advance(1);
  expect(started).toEqual(['before', 'suspect']);
  await clock.advance(1_000);
  expect(started).toEqual(['before', 'suspect', 'after']);
});

test('skips a message that must run alone when its partition was lost meanwhile', () => {
  const { scheduler, started, lost, add } = schedule();
  add(message('before'));
  const suspect = message('suspect', 2);
  add(suspect, message('after'));
  lost.add(suspect);
  scheduler.partitionLeft();
  expect(started).toEqual(['before', 'after']);
});

test('calls the handler of a recorded message, except when its partition was lost meanwhile', () => {
  const { scheduler, started, lost } = schedule();
  const dropped = message('dropped');
  lost.add(dropped);
  scheduler.recorded(dropped);
  scheduler.recorded(message('kept'));
  expect(started).toEqual(['kept']);
});

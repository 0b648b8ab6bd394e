/** Runs one worker or one sender of a fault scene in its own process. Writes each step to its ledger file at once. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { isBusError } from '../../src/base/errors';
import type { BusGiven } from '../../src/options';
import { openBus, type Bus } from '../../src/index';
import { ledger, type Load } from './faultcontract';

const healthMs = 500;
/** Interval of the event loop checks. A delay of more than `stallNotedMs` is recorded. */
const tickMs = 100;
const stallNotedMs = 500;
const requestTimeoutMs = 10_000;

const [role = '', name = '', file = '', given = '{}', load = '{}'] = process.argv.slice(2);
const out = openSync(file, 'a');
const note = (...words: readonly (string | number)[]): void =>
  void writeSync(out, `${Date.now()} ${words.join(' ')}\n`);
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const oneLine = (text: string): string => text.replaceAll('\n', ' ');

async function main(): Promise<void> {
  const loaded = JSON.parse(load) as Load; // the scene writes it
  const bus = await openBus({
    log: false,
    module: role === 'worker' ? ledger : 'sender',
    ...(JSON.parse(given) as BusGiven), // the scene writes it
    onNotice: (notice) => {
      if (notice.type === 'state') {
        for (const { part, reason } of [notice, ...(notice.also ?? [])])
          note('state', part, notice.ok ? 'ok' : 'bad', oneLine(reason));
      }
      if (notice.type === 'dropped') note('dropped', `${notice.what}:`, oneLine(notice.reason));
      else if (notice.type === 'partition') {
        for (const { partition } of [notice, ...(notice.also ?? [])]) note('partition', notice.change, partition);
      } else if (notice.type === 'stuck') note('stuck', notice.partition, oneLine(notice.reason));
      else if (notice.type === 'log' && notice.level === 'error') note('error', oneLine(notice.message));
    },
  });
  watchHealth(bus);
  watchStalls();
  let stop: () => Promise<void> = () => Promise.resolve();
  if (role === 'worker') await serve(bus, loaded);
  else stop = send(bus, loaded);
  process.on('message', (said) => {
    if (said === 'stop') void stop().then(() => process.send?.('stopped'));
    if (said === 'slower') share /= 2;
    if (said === 'close') void bus.close().then(() => process.exit(0));
  });
  process.on('disconnect', () => process.exit(0));
  process.on('exit', () => closeSync(out));
  process.send?.('open');
}

function watchHealth(bus: Bus): void {
  let last = '';
  setInterval(() => {
    const { live, ready, reasons } = bus.health();
    const said = `${live ? 'live' : 'dead'} ${ready ? 'ready' : 'away'} ${reasons.map(({ part }) => part).join('|')}`;
    if (said !== last) note('health', said);
    last = said;
  }, healthMs);
}

/** Records stalls, because a process without CPU time handles jobs late through no fault of the bus. */
function watchStalls(): void {
  let before = performance.now();
  setInterval(() => {
    const now = performance.now();
    const lateMs = Math.round(now - before - tickMs);
    before = now;
    if (lateMs > stallNotedMs) note('stalled', lateMs);
  }, tickMs);
}

async function serve(bus: Bus, { jobMs }: Load): Promise<void> {
  await bus.serve(
    ledger,
    {
      job: async ({ key, n }, { attempt }) => {
        note('begin', key, n, attempt);
        await later(jobMs);
        note('end', key, n);
      },
      ask: ({ n }) => n,
      tell: ({ sender, n }) => note('heard', sender, n),
    },
    { concurrency: { job: 16 } },
  );
}

/** Fraction of the configured rates at which this process sends; lowered on a slow machine. */
let share = 1;

/** Sends at fixed rates, independent of earlier outcomes. The returned function ends it. */
function send(bus: Bus, { jobsPerSecond, keys, requestsPerSecond, broadcastsPerSecond }: Load): () => Promise<void> {
  const open = new Set<Promise<void>>();
  const timers: NodeJS.Timeout[] = [];
  const at = (perSecond: number, one: (n: number) => Promise<void>): void => {
    if (perSecond === 0) return;
    let beforeMs = performance.now();
    let due = 0;
    let n = 0;
    const catchUp = (): void => {
      const nowMs = performance.now();
      due += ((nowMs - beforeMs) * perSecond * share) / 1_000;
      beforeMs = nowMs;
      for (; due >= 1; due--) {
        const sent: Promise<void> = one(n++).finally(() => open.delete(sent));
        open.add(sent);
      }
    };
    timers.push(setInterval(catchUp, Math.max(5, 1_000 / perSecond)));
  };
  at(jobsPerSecond, async (n) => {
    const key = `${name}k${n % keys}`;
    try {
      await bus.submit(ledger.job, { key, n });
      note('accepted', key, n);
    } catch (error) {
      const code = codeOf(error);
      note(code === 'Unreachable' ? 'unknown' : 'refused', key, n, code);
    }
  });
  at(requestsPerSecond, async (n) => {
    const startMs = performance.now();
    const result = await bus.tryRequest(ledger.ask, { n }, { timeoutMs: requestTimeoutMs });
    note('asked', result.ok ? 'ok' : result.error.code, Math.round(performance.now() - startMs));
  });
  at(broadcastsPerSecond, async (n) => {
    const code = await bus.broadcast(ledger.tell, { sender: name, n }).then(() => 'ok', codeOf);
    note('told', n, code);
  });
  return async () => {
    for (const timer of timers) clearInterval(timer);
    await Promise.all(open);
  };
}

function codeOf(error: unknown): string {
  return isBusError(error) ? error.code : oneLine(String(error));
}

void main().catch((error: unknown) => {
  note('error', oneLine(String(error)));
  console.error(error);
  process.exit(1);
});

/** One process of the outage: a publisher with a spool and a ledger of accepted events, or the consumer of them. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { isBusError, openBus } from 'busbar';
import type { BusGiven } from '../../src/options';
import { steps, type PublisherGiven, type PublisherReport, type ReceivedReport } from './outagecontract';
import { onWord, privateBytes, tell } from './scene';

const [role = '', json = '{}'] = process.argv.slice(2);

const roles: Readonly<Record<string, (given: unknown) => Promise<void>>> = {
  // The scenario writes the arguments as JSON, with these types.
  publisher: (given) => publish(given as PublisherGiven),
  consumer: (given) => consume(given as BusGiven),
};

const tickMs = 5;
/** Calls without an answer, above which a publisher sends no more for now. */
const openMax = 20_000;

async function publish({ bus: given, name, ledger, perSecond, keys }: PublisherGiven): Promise<void> {
  const beganMs = performance.now();
  const bus = await openBus({ log: false, module: 'publisher', ...given });
  const out = openSync(ledger, 'a');
  const rejected: Record<string, number> = {};
  const tookMs: number[] = [];
  let [n, accepted, maxMs, memoryBytes, open] = [0, 0, 0, 0, 0];
  let running = true;
  const report = (): PublisherReport => ({ accepted, rejected, tookMs, maxMs, memoryBytes });
  const one = async (number: number): Promise<void> => {
    const sentMs = performance.now();
    const key = `${name}k${number % keys}`;
    open++;
    try {
      await bus.submit(steps.step, { key, n: number });
      writeSync(out, `${key} ${number}\n`);
      accepted++;
    } catch (error) {
      const code = isBusError(error) ? error.code : String(error);
      rejected[code] = (rejected[code] ?? 0) + 1;
    } finally {
      open--;
    }
    const took = performance.now() - sentMs;
    maxMs = Math.max(maxMs, took);
    if (number % 10 === 0) tookMs.push(took);
  };
  let beforeMs = performance.now();
  let due = 0;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    due = running ? due + ((nowMs - beforeMs) * perSecond) / 1_000 : 0;
    beforeMs = nowMs;
    for (; due >= 1 && open < openMax; due--) void one(n++);
    if (!running && open === 0) {
      clearInterval(timer);
      clearInterval(measuring);
      tell('stopped', report());
    }
  }, tickMs);
  const measuring = setInterval(() => (memoryBytes = Math.max(memoryBytes, privateBytes())), 500);
  onWord('away', () => {
    maxMs = 0;
    tookMs.length = 0;
  });
  onWord('report', () => tell('report', report()));
  onWord('stop', () => (running = false));
  onWord('close', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
  process.on('exit', () => closeSync(out));
  tell('open', performance.now() - beganMs);
}

async function consume(given: BusGiven): Promise<void> {
  const bus = await openBus({ log: false, module: steps, ...given });
  const received = new Map<string, number[]>();
  let count = 0;
  await bus.serve(
    steps,
    {
      step: ({ key, n }) => {
        const numbers = received.get(key);
        if (numbers) numbers.push(n);
        else received.set(key, [n]);
        count++;
      },
    },
    { concurrency: { step: 64 } },
  );
  onWord('count', () => tell('count', count));
  onWord('received', () => tell('received', received satisfies ReceivedReport));
  process.on('disconnect', () => process.exit(0));
  tell('open');
}

void roles[role]?.(JSON.parse(json)).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

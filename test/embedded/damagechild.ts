/** A process with a bus for each directory that a test names; it runs the commands of the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { systemClock, systemRandom } from '../../src/base/clock';
import { errorMessage } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { openEmbedded } from '../../src/embedded/open';
import { defineModule, isBusError, openBus, request, work, type Bus, type Health } from '../../src/index';

const shop = defineModule('shop', {
  ask: request(z.void(), z.string(), { timeoutMs: 2_000, idempotent: true }),
  job: work(z.object({ n: z.number(), text: z.string().optional() })),
});

export interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly code?: string;
  readonly message?: string;
}
export type Traffic = 'none' | 'light' | 'load';
interface Stand {
  readonly bus: Bus;
  readonly handled: number[];
  /** Numbers of jobs that were accepted. */
  readonly accepted: number[];
  readonly errors: Set<string>;
  readonly states: string[];
  stop: boolean;
  readonly sending: Promise<void>[];
}
const stands = new Map<string, Stand>();
const standOf = (dir: string): Stand => stands.get(dir) ?? fail(dir);
const fail = (dir: string): never => {
  throw new Error(`no bus for ${dir}`);
};
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

let next = 1_000;
/** Light: ten jobs a second, one at a time. Load: 64 at a time, of a kilobyte. */
async function send(stand: Stand, traffic: Traffic): Promise<void> {
  while (!stand.stop) {
    const n = next++;
    try {
      await stand.bus.submit(shop.job, { n, ...(traffic === 'load' && { text: 'x'.repeat(1_000) }) });
      stand.accepted.push(n);
    } catch (error) {
      stand.errors.add(isBusError(error) ? error.code : errorMessage(error));
      await later(20);
    }
    if (traffic === 'light') await later(100);
  }
}

const commands = {
  async open(dir: string, role: 'shop' | 'visitor', traffic: Traffic) {
    const states: string[] = [];
    const bus = await openBus({
      log: false,
      module: role,
      dir,
      ns: 'test',
      drainMs: 1_000,
      onNotice: (notice) => notice.type === 'state' && states.push(`${notice.part} ${notice.ok} ${notice.reason}`),
    });
    const stand: Stand = { bus, handled: [], accepted: [], errors: new Set(), states, stop: false, sending: [] };
    stands.set(dir, stand);
    if (role === 'visitor') return bus.self.instance;
    await bus.serve(shop, { ask: () => bus.self.instance, job: ({ n }) => void stand.handled.push(n) });
    const senders = { none: 0, light: 1, load: 64 }[traffic];
    for (let n = 0; n < senders; n++) stand.sending.push(send(stand, traffic));
    return bus.self.instance;
  },
  /** Writes the first generation of settings. */
  async set(dir: string) {
    const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
    const bus = await openEmbedded({ dir, ns: 'test', name: 'operator#1', ...around });
    await bus.settings.set('shop.job.concurrency', '4', 0);
    await bus.close();
  },
  async submit(dir: string, n: number) {
    await standOf(dir).bus.submit(shop.job, { n });
  },
  async ask(dir: string) {
    return standOf(dir).bus.request(shop.ask);
  },
  async health(dir: string): Promise<Health> {
    return standOf(dir).bus.health();
  },
  async handled(dir: string) {
    return standOf(dir).handled;
  },
  async look(dir: string) {
    const { accepted, handled, errors, states } = standOf(dir);
    return { accepted, handled, errors: [...errors], states };
  },
  /** Stops sending jobs. */
  async rest(dir: string) {
    const stand = standOf(dir);
    stand.stop = true;
    await Promise.all(stand.sending);
  },
  async close(dir: string) {
    const stand = standOf(dir);
    stand.stop = true;
    stands.delete(dir);
    const startMs = performance.now();
    await stand.bus.close();
    return performance.now() - startMs;
  },
};

/** Opens a bus once, which loads every module: another user can be unable to read the folder of the repository. */
async function loadModules(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bb-'));
  const bus = await openBus({ log: false, module: 'shop', dir, ns: 'test' });
  await bus.close();
  rmSync(dir, { recursive: true });
}

async function main(uid: string | undefined): Promise<void> {
  if (uid !== undefined) {
    await loadModules();
    process.setgid?.(Number(uid));
    process.setuid?.(Number(uid));
  }
  process.send?.({ id: 0 });
}
const ready = main(process.argv[2]);

process.on('message', ({ id, command, args }: { id: number; command: keyof typeof commands; args: unknown[] }) => {
  const run = commands[command] as (...given: unknown[]) => Promise<unknown>; // the test passes matching arguments
  ready
    .then(() => run(...args))
    .then(
      (value) => process.send?.({ id, value }),
      (error: unknown) =>
        process.send?.({
          id,
          code: isBusError(error) ? error.code : 'none',
          message: errorMessage(error),
        } satisfies Reply),
    );
});
process.on('disconnect', () => process.exit());

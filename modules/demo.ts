/** `npm run demo`: fills the photo site, kills its processes during their jobs, and accounts for every message. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBus, type Bus } from 'busbar';
import { Ledger, type Row } from './demo/ledger';
import { demoTag, pictures } from './demo/pictures';
import { freePorts } from './ports';
import { photos } from './photos/contract';
import type { Sample } from './samples';
import { foundMax, search } from './search/contract';
import { Supervisor } from './supervise';
import { thumbnails } from './thumbnails/contract';
import { upload } from './upload';

const pictureCount = 44;
const uploadsAtOnce = 6;
const withinMs = 60_000;
const started = performance.now();

function say(line: string): void {
  console.log(`${((performance.now() - started) / 1_000).toFixed(1).padStart(5)} s  ${line}`);
}

/** The site, its ledger, and the callers that wait for the next entry. */
interface Demo {
  readonly bus: Bus;
  readonly ledger: Ledger;
  readonly supervisor: Supervisor;
  readonly urls: readonly string[];
  /** Resolves when `holds` returns true; rejects after `withinMs`. */
  readonly until: (what: string, holds: () => boolean) => Promise<void>;
}

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'busbar-demo-'));
  process.env['BUSBAR_DIR'] = join(directory, 'bus');
  const env = {
    ...process.env,
    BUSBAR_LOG_FORMAT: 'text',
    BUSBAR_LOG_LEVEL: 'warn',
    SITE_DIR: join(directory, 'site'),
  };
  const lines: string[] = [];
  const print = (name: string, line: string): void => {
    lines.splice(0, Math.max(0, lines.length - 200)); // the last lines, printed when a message is missing
    lines.push(`${name} ${line}`);
    if (line.includes('starts again')) say(`${name} ${line}`);
  };
  const supervisor = new Supervisor({ folder: __dirname, env, print });
  let right = false;
  try {
    right = await show(supervisor);
  } finally {
    if (!right) console.log(`\nThe last lines of the processes:\n${lines.join('\n')}`);
    await supervisor.stop();
    await rm(directory, { recursive: true, force: true });
  }
  process.exitCode = right ? 0 : 1;
}

async function show(supervisor: Supervisor): Promise<boolean> {
  await using bus = await openBus({ module: 'demo' });
  const demo = await startDemo(bus, supervisor);
  const { ledger } = demo;
  say('drawing the pictures');
  const all = await pictures(pictureCount);
  say(`uploading ${all.length} to ${demo.urls.join(' and ')}, ${uploadsAtOnce} at a time`);
  const uploading = uploadAll(demo, all);
  uploading.catch(() => undefined); // awaited below, after the kills
  await killInMidJob(demo);
  await uploading;
  say(`all uploads are answered: ${ledger.acceptedCount} accepted, ${ledger.refused.length} refused`);
  const complete = demo.until('everything is settled', () => ledger.missing().length === 0);
  await complete.catch((error: unknown) => say(`${String(error)}; missing: ${ledger.missing().join(', ')}`));
  const indexed = await countIndexed(bus, ledger.acceptedCount);
  say('everything that was going to happen has happened');
  return report(ledger, indexed);
}

async function startDemo(bus: Bus, supervisor: Supervisor): Promise<Demo> {
  const ledger = new Ledger();
  const waiting = new Set<() => void>();
  const wake = (): void => waiting.forEach((one) => one());
  // Named, so that no event is missed; the ledger belongs to the demo.
  await bus.listen(photos.added, { as: 'books' }, ({ id }, context) => (ledger.told(id, context.id), wake()));
  await bus.listen(thumbnails.done, { as: 'books' }, (done) => (ledger.outcome(done), wake()));
  await bus.listen(thumbnails.broken, { as: 'books' }, (broken) => (ledger.outcome(broken), wake()));
  const [one = 0, two = 0] = await freePorts(2, 0);
  for (const name of ['photos', 'thumbnails-1', 'thumbnails-2', 'search']) {
    supervisor.start({ name, script: `${name.replace(/-\d$/, '')}/index.js` });
  }
  supervisor.start({ name: 'web-1', script: 'web/index.js', env: { PORT: `${one}` } });
  supervisor.start({ name: 'web-2', script: 'web/index.js', env: { PORT: `${two}` } });
  const until: Demo['until'] = (what, holds) =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!holds()) return;
        end();
        resolve();
      };
      const timer = setTimeout(() => (end(), reject(new Error(`not within ${withinMs} ms: ${what}`))), withinMs);
      const end = (): void => (clearTimeout(timer), void waiting.delete(look));
      waiting.add(look);
      look();
    });
  return { bus, ledger, supervisor, urls: [`http://127.0.0.1:${one}`, `http://127.0.0.1:${two}`], until };
}

/**
 * Counts the photos that search finds. The index lags and was just killed, so the request is repeated until it finds
 * all.
 */
async function countIndexed(bus: Bus, expected: number): Promise<number> {
  for (let tries = 1; ; tries++) {
    const found = await bus.tryRequest(search.find, { text: demoTag, limit: foundMax }, { waitForInstanceMs: 10_000 });
    if (!found.ok && tries === 100) throw found.error;
    const count = found.ok ? found.value.ids.length : 0;
    if (count >= expected || tries === 100) return count;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Uploads a few at a time, as people do; every second one to the other web instance. */
async function uploadAll({ ledger, urls }: Demo, all: readonly Sample[]): Promise<void> {
  const left = [...all.entries()];
  const one = async (): Promise<void> => {
    for (let next = left.shift(); next; next = left.shift()) {
      const [index, picture] = next;
      ledger.upload(picture.name, await upload(urls, picture, index));
    }
  };
  await Promise.all(Array.from({ length: uploadsAtOnce }, one));
}

async function killInMidJob({ ledger, supervisor, until }: Demo): Promise<void> {
  const kill = async (name: string): Promise<void> => {
    const pid = supervisor.pid(name);
    if (pid === undefined) throw new Error(`${name} is down already`);
    ledger.killed(pid);
    say(`kill -9 ${name} (${ledger.acceptedCount} uploads answered, ${ledger.settledCount} thumbnails made or parked)`);
    await supervisor.kill(name, 'SIGKILL');
  };
  const settled = (count: number) => until(`${count} thumbnails`, () => ledger.settledCount >= count);
  await settled(5);
  await kill('thumbnails-1');
  await settled(12);
  await kill('photos');
  await settled(20);
  await kill('web-1');
  await kill('thumbnails-2');
  await settled(30);
  await kill('search');
}

function report(ledger: Ledger, indexed: number): boolean {
  const rows = ledger.rows(indexed);
  const columns = ['accepted', 'done', 'parked', 'again', 'lost', 'twice'] as const satisfies readonly (keyof Row)[];
  console.log(`\n${''.padEnd(20)}${columns.map((column) => column.padStart(10)).join('')}`);
  for (const row of rows) {
    console.log(`${row.what.padEnd(20)}${columns.map((column) => String(row[column]).padStart(10)).join('')}`);
  }
  console.log(
    '\nagain: done or sent once more because a process was killed in the middle of it; lost and twice must be 0.',
  );
  console.log(`refused: ${ledger.refused.join('; ') || 'none'}`);
  console.log('parked:');
  for (const line of ledger.parked()) console.log(`  ${line}`);
  const right = rows.every(({ lost, twice }) => lost === 0 && twice === 0);
  console.log(
    right ? '\nNothing was lost, nothing was done twice.' : '\nSOMETHING IS WRONG: see the columns lost and twice.',
  );
  return right;
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});

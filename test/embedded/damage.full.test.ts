/**
 * Files of the shared directory that other programs remove, replace, cut or overwrite, while buses run and while none
 * runs. Every bus continues, or reports it and is not live. No process ends, and no accepted job is lost without a report.
 */
import fs from 'node:fs';
import path from 'node:path';
import type { Health } from '../../src/bus/types';
import { damage, Process, Slots, type Damage, type Part } from './damage';
import { cleanUp, freshDirectory, until } from '../support/embedded-buses';

/**
 * The state of a running bus after the damage. heals: it recreates the file, and everything works. works: it is not
 * affected. reports: it works, and health names the failing part. broken: it rejects submits, and is not live. unfit: it
 * still submits, for a later process to handle, and is not live.
 */
type Outcome = 'heals' | 'works' | 'reports' | 'broken' | 'unfit';
/**
 * The state of a bus that is opened afterwards. works: it reaches the first one. opens: it does not reach it. either: it
 * works, or opening rejects, because the missing pages can be unused ones.
 */
type Opening = 'works' | 'opens' | 'refused' | 'either';

const running: readonly (readonly [Part, Outcome, Opening, ...Damage[]])[] = [
  ['dir', 'broken', 'opens', 'removed', 'renamed'],
  ['dir', 'broken', 'refused', 'replaced by an empty file'],
  ['dir', 'broken', 'opens', 'replaced by an empty folder'],
  ['dir', 'works', 'works', 'moved behind a link'],
  ['dir', 'broken', 'works', 'emptied'],
  ['marker', 'heals', 'works', 'removed', 'renamed', 'emptied', 'cut in half', 'noise appended', 'noise all over'],
  ['marker', 'heals', 'works', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['marker', 'works', 'works', 'replaced by a copy', 'moved behind a link'],
  ['marker', 'reports', 'refused', 'of another bus', 'replaced by an empty folder'],
  ['mark', 'heals', 'works', 'removed', 'renamed', 'emptied', 'cut in half', 'noise appended', 'noise all over'],
  ['mark', 'heals', 'works', 'replaced by a link to nothing'],
  ['mark', 'works', 'works', 'replaced by a copy', 'moved behind a link'],
  ['mark', 'works', 'refused', 'of another bus'],
  ['sockets', 'heals', 'works', 'removed', 'renamed', 'emptied', 'replaced by an empty folder'],
  ['sockets', 'works', 'works', 'moved behind a link'],
  ['sockets', 'reports', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['socket', 'heals', 'works', 'removed', 'renamed', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['instances', 'heals', 'works', 'removed', 'renamed', 'emptied', 'replaced by an empty folder'],
  ['instances', 'works', 'works', 'moved behind a link'],
  ['instances', 'reports', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  [
    'announcement',
    'heals',
    'works',
    'removed',
    'renamed',
    'emptied',
    'cut in half',
    'noise appended',
    'noise all over',
  ],
  [
    'announcement',
    'heals',
    'works',
    'replaced by an empty file',
    'replaced by a link to nothing',
    'replaced by a copy',
  ],
  ['settings', 'heals', 'works', 'removed', 'renamed', 'emptied', 'replaced by an empty folder'],
  ['settings', 'works', 'works', 'moved behind a link'],
  ['settings', 'reports', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['generation', 'heals', 'works', 'removed', 'renamed', 'emptied', 'cut in half', 'noise appended', 'noise all over'],
  ['generation', 'heals', 'works', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['log', 'broken', 'refused', 'removed', 'renamed', 'emptied', 'replaced by an empty folder'],
  ['log', 'broken', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['log', 'works', 'works', 'moved behind a link'],
  ['log data', 'broken', 'refused', 'removed', 'renamed', 'emptied', 'replaced by an empty file'],
  ['log data', 'broken', 'refused', 'first head flipped', 'both heads flipped'],
  ['log data', 'broken', 'either', 'cut in half', 'cut by a page'],
  ['log data', 'broken', 'refused', 'replaced by an empty folder', 'replaced by a link to nothing'],
  ['log data', 'broken', 'works', 'replaced by a copy'],
  ['log data', 'works', 'works', 'noise appended', 'moved behind a link'],
  ['log lock', 'broken', 'works', 'removed', 'renamed', 'replaced by an empty file'],
  ['log lock', 'broken', 'refused', 'emptied', 'noise all over'],
  ['log lock', 'broken', 'either', 'cut in half'],
  ['log lock', 'broken', 'refused', 'replaced by an empty folder'],
  ['log lock', 'works', 'works', 'noise appended', 'moved behind a link'],
  ['live', 'unfit', 'works', 'removed', 'renamed', 'emptied', 'replaced by an empty folder'],
  ['live', 'unfit', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['live', 'works', 'works', 'moved behind a link'],
  ['live data', 'unfit', 'refused', 'removed', 'renamed', 'emptied', 'replaced by an empty file'],
  ['live data', 'unfit', 'refused', 'first head flipped', 'both heads flipped'],
  ['live data', 'unfit', 'either', 'cut in half', 'cut by a page'],
  ['live lock', 'unfit', 'works', 'removed', 'renamed'],
  ['live lock', 'unfit', 'refused', 'emptied', 'noise all over'],
  ['live lock', 'unfit', 'either', 'cut in half'],
];
/** Damages that need a user other than root. */
const unreadable: typeof running = [
  ['dir', 'reports', 'refused', 'unreadable'],
  ['marker', 'heals', 'works', 'unreadable'],
  ['mark', 'heals', 'works', 'unreadable'],
  ['sockets', 'reports', 'refused', 'unreadable'],
  ['socket', 'heals', 'works', 'unreadable'],
  ['instances', 'reports', 'refused', 'unreadable'],
  ['announcement', 'heals', 'works', 'unreadable'],
  ['settings', 'reports', 'refused', 'unreadable'],
  ['generation', 'heals', 'works', 'unreadable'],
  ['log', 'reports', 'refused', 'unreadable'],
  ['log data', 'reports', 'refused', 'unreadable'],
  ['log lock', 'reports', 'refused', 'unreadable'],
  ['live', 'reports', 'refused', 'unreadable'],
  ['live data', 'reports', 'refused', 'unreadable'],
  ['live lock', 'reports', 'refused', 'unreadable'],
];

interface Cell {
  readonly part: Part;
  readonly kind: Damage;
  readonly outcome: Outcome;
  readonly opening: Opening;
}
/** Groups the rows by part. */
function byPart(rows: typeof running): [Part, Cell[]][] {
  const cells = new Map<Part, Cell[]>();
  for (const [part, outcome, opening, ...kinds] of rows) {
    const more = kinds.map((kind) => ({ part, kind, outcome, opening }));
    cells.set(part, [...(cells.get(part) ?? []), ...more]);
  }
  return [...cells];
}

interface Processes {
  readonly uid: number | undefined;
  readonly host: Process;
  readonly visitor: Process;
}

/** Opens a bus in the process that all cells share, and handles one job. */
async function stand(host: Process, uid: number | undefined): Promise<string> {
  const parent = freshDirectory();
  if (uid !== undefined) fs.chownSync(parent, uid, uid);
  const dir = path.join(parent, 'bus');
  await host.tell('set', dir);
  await host.tell('open', dir, 'shop', 'none');
  await host.tell('submit', dir, 1);
  await until(async () => (await host.tell<number[]>('handled', dir)).includes(1));
  await until(() => isQuiet(dir));
  return dir;
}
/** A transaction that runs while its mapped file is cut or overwritten can crash the process, so the damage waits. */
function isQuiet(dir: string): boolean {
  const { mtimeMs } = fs.statSync(path.join(dir, 'log', 'data.mdb'));
  return Date.now() - mtimeMs > 1_000;
}
const healthOf = (host: Process, dir: string): Promise<Health> => host.tell('health', dir);

async function checkHost(host: Process, dir: string, outcome: Outcome): Promise<void> {
  if (outcome === 'broken' || outcome === 'unfit') {
    const health = await until(async () => {
      const now = await healthOf(host, dir);
      return !now.live && now;
    });
    expect(health).toMatchObject({ live: false, ready: false });
    expect(health.reasons.map(({ reason }) => reason).join()).toContain(fs.realpathSync(path.dirname(dir)));
    expect(await host.codeOf('submit', dir, 2)).toBe(outcome === 'broken' ? 'StoreBroken' : 'ok');
    return;
  }
  if (outcome === 'reports') {
    await until(async () => (await healthOf(host, dir)).reasons.length > 0);
  }
  expect(await host.codeOf('submit', dir, 2)).toBe('ok');
  await until(async () => (await host.tell<number[]>('handled', dir)).includes(2));
  if (outcome !== 'reports') await until(async () => (await healthOf(host, dir)).ready);
  expect(await healthOf(host, dir)).toMatchObject({ live: true });
}

async function checkVisitor(host: Process, visitor: Process, dir: string, outcome: Outcome, opening: Opening) {
  const open = (): Promise<string> => visitor.codeOf('open', dir, 'visitor', 'none');
  // A bus that heals recreates its files at its next check, within half a second.
  const opened = outcome === 'heals' ? await until(async () => (await open()) === 'ok' && 'ok') : await open();
  if (opening === 'refused' || (opening === 'either' && opened !== 'ok')) {
    return expect(opened).toMatch(/^(Config|Unreachable)$/);
  }
  expect(opened).toBe('ok');
  if (opening === 'opens') expect(await visitor.codeOf('ask', dir)).toBe('NoHandler');
  else await until(async () => (await visitor.codeOf('ask', dir)) === 'ok');
  if (outcome !== 'broken' && outcome !== 'unfit') {
    expect(await visitor.codeOf('submit', dir, 3)).toBe('ok');
    await until(async () => (await host.tell<number[]>('handled', dir)).includes(3));
  }
  await visitor.tell('close', dir);
}

function hasSettings(dir: string): boolean {
  const file = path.join(dir, 'settings', '1');
  return fs.existsSync(file) && fs.readFileSync(file, 'utf8').includes('shop.job.concurrency');
}

/** Two processes, each with a bus for every cell. A process that has ended is restarted. */
class Pair {
  private host: Process | undefined;
  private visitor: Process | undefined;

  constructor(private readonly uid: number | undefined) {}

  running(): Processes {
    if (this.host === undefined || this.host.isOver) this.host = new Process(this.uid);
    if (this.visitor === undefined || this.visitor.isOver) this.visitor = new Process(this.uid);
    return { uid: this.uid, host: this.host, visitor: this.visitor };
  }
  async kill(): Promise<void> {
    await this.host?.kill();
    await this.visitor?.kill();
  }
}

const mapped: ReadonlySet<Part> = new Set<Part>(['log data', 'log lock', 'live data', 'live lock']);
const inPlace: ReadonlySet<Damage> = new Set<Damage>([
  'emptied',
  'cut in half',
  'cut by a page',
  'noise all over',
  'first head flipped',
  'both heads flipped',
]);
const isCut = ({ part, kind }: Cell): boolean => mapped.has(part) && inPlace.has(kind);
const survivalTriesMax = 5;
/**
 * A process that reads its map while the file is cut ends with a signal, which cannot be prevented. The cell is then
 * repeated with another process. A process that opens the damaged file must never end.
 */
async function survive(cell: Cell, pair: Pair): Promise<void> {
  for (let tries = 1; ; tries++) {
    const processes = pair.running();
    try {
      return await meet(cell, processes);
    } catch (error) {
      if (!processes.host.isOver || processes.visitor.isOver || tries === survivalTriesMax) throw error;
    }
  }
}

// The tests run concurrently, because most of their time is waiting for the next check of a bus.
afterAll(cleanUp);
/** A process maps a terabyte of addresses for each data file, and each bus has two. */
const slots = new Slots(24);

const suites = [
  ['as root', running, undefined],
  ['as another user', unreadable, 65_534],
] as const;
describe('a bus recreates damaged files, or reports them and rejects jobs that could be lost', () => {
  describe.each(suites)('%s', (_user, rows, uid) => {
    const [usual, cut] = [new Pair(uid), new Pair(uid)];
    afterAll(() => Promise.all([usual.kill(), cut.kill()]));
    const run = (cell: Cell): Promise<void> => (isCut(cell) ? survive(cell, cut) : meet(cell, usual.running()));

    test.concurrent.each(byPart(rows))('%s', async (_part, cells) => {
      const ends = await Promise.allSettled(cells.map((cell) => slots.run(() => run(cell))));
      const failed = ends.flatMap((end, n) =>
        end.status === 'rejected'
          ? [`${cells[n]?.part} ${cells[n]?.kind} (${cells[n]?.outcome}): ${String(end.reason)}`]
          : [],
      );
      expect(failed).toEqual([]);
    });
  });
});

/**
 * Damages while jobs are sent and handled. A file that is cut under load is not tested: see "The shared directory" in
 * docs/operations.md.
 */
const underTraffic: readonly (readonly [Part, Outcome, Damage])[] = [
  ['dir', 'broken', 'removed'],
  ['dir', 'broken', 'replaced by an empty folder'],
  ['log', 'broken', 'renamed'],
  ['log data', 'broken', 'removed'],
  ['log data', 'broken', 'replaced by a copy'],
  ['log lock', 'broken', 'removed'],
  ['live', 'unfit', 'removed'],
  ['instances', 'heals', 'removed'],
  ['sockets', 'heals', 'removed'],
  ['settings', 'heals', 'removed'],
  ['marker', 'heals', 'removed'],
];
interface Seen {
  readonly accepted: number[];
  readonly handled: number[];
  readonly errors: string[];
}

describe.each(['light', 'load'] as const)('a bus under %s traffic whose files are removed', (traffic) => {
  let host: Process | undefined;
  afterAll(async () => host?.kill());

  test('loses no accepted job, or within four seconds is not live and rejects submits', async () => {
    const process = (host = new Process());
    const ends = await Promise.allSettled(underTraffic.map((row) => sendThrough(process, traffic, ...row)));
    const failed = ends.flatMap((end, n) =>
      end.status === 'rejected' ? [`${underTraffic[n]?.join(' ')}: ${String(end.reason)}`] : [],
    );
    expect(failed).toEqual([]);
  });
});

async function sendThrough(host: Process, traffic: 'light' | 'load', part: Part, outcome: Outcome, kind: Damage) {
  const dir = path.join(freshDirectory(), 'bus');
  const look = (): Promise<Seen> => host.tell('look', dir);
  await host.tell('set', dir);
  await host.tell('open', dir, 'shop', traffic);
  await until(async () => (await look()).handled.length > 3);
  damage(dir, part, kind);
  const damagedMs = performance.now();
  if (outcome === 'broken' || outcome === 'unfit') {
    await until(async () => !(await healthOf(host, dir)).live);
    expect(performance.now() - damagedMs).toBeLessThan(notLiveMs);
  }
  if (outcome === 'broken') {
    const { accepted } = await look();
    await until(async () => (await look()).errors.includes('StoreBroken'));
    expect((await look()).accepted).toHaveLength(accepted.length);
  } else if (outcome === 'heals') {
    await until(async () => (await healthOf(host, dir)).ready);
    const { accepted } = await look();
    await until(async () => (await look()).accepted.length > accepted.length + 3);
    await host.tell('rest', dir);
    await until(async () => {
      const now = await look();
      return new Set(now.handled).size === now.accepted.length;
    });
  }
  expect(await host.tell<number>('close', dir)).toBeLessThan(5_000);
}
/** Two checks, and the delay of a busy machine. */
const notLiveMs = 4_000;

/**
 * The state of a bus that is opened after all others were closed. works: it handles the jobs accepted before. refused:
 * opening rejects and names the part. either: refused, or all jobs are handled, because the damage can hit an unused
 * page. empty: the jobs were removed with the directory.
 */
type Reopening = 'works' | 'refused' | 'either' | 'empty';

const atRest: readonly (readonly [Part, Reopening, ...Damage[]])[] = [
  ['dir', 'empty', 'removed', 'renamed', 'emptied', 'replaced by an empty folder'],
  ['dir', 'works', 'moved behind a link'],
  ['dir', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['marker', 'refused', 'removed', 'renamed', 'emptied', 'cut in half', 'noise appended', 'noise all over'],
  ['marker', 'works', 'replaced by a copy', 'moved behind a link'],
  ['marker', 'refused', 'of another bus', 'replaced by an empty folder', 'replaced by a link to nothing'],
  ['mark', 'works', 'removed', 'renamed', 'emptied', 'cut in half', 'noise appended', 'noise all over'],
  ['mark', 'works', 'replaced by a copy', 'moved behind a link', 'replaced by a link to nothing'],
  ['mark', 'refused', 'of another bus'],
  ['sockets', 'works', 'removed', 'renamed', 'moved behind a link'],
  ['sockets', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['instances', 'works', 'removed', 'renamed', 'moved behind a link'],
  ['instances', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['settings', 'works', 'removed', 'renamed', 'emptied', 'moved behind a link'],
  ['settings', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['generation', 'works', 'removed', 'renamed', 'replaced by a copy', 'moved behind a link'],
  [
    'generation',
    'refused',
    'emptied',
    'cut in half',
    'noise appended',
    'noise all over',
    'replaced by an empty folder',
  ],
  ['log', 'refused', 'removed', 'renamed', 'emptied', 'replaced by an empty folder', 'replaced by an empty file'],
  ['log', 'works', 'moved behind a link'],
  ['log', 'refused', 'replaced by a link to nothing'],
  ['log data', 'refused', 'removed', 'renamed', 'emptied', 'noise all over'],
  ['log data', 'either', 'cut in half', 'noise at its end', 'cut by a page'],
  ['log data', 'refused', 'first head flipped', 'both heads flipped', 'replaced by an empty file'],
  ['log data', 'refused', 'replaced by an empty folder', 'replaced by a link to nothing'],
  ['log data', 'works', 'noise appended', 'replaced by a copy', 'moved behind a link'],
  ['log lock', 'works', 'removed', 'renamed', 'emptied', 'cut in half', 'noise appended', 'noise all over'],
  ['log lock', 'works', 'replaced by an empty file', 'replaced by a copy', 'moved behind a link'],
  ['log lock', 'refused', 'replaced by an empty folder'],
  ['live', 'works', 'removed', 'renamed', 'emptied', 'replaced by an empty folder', 'moved behind a link'],
  ['live', 'refused', 'replaced by an empty file', 'replaced by a link to nothing'],
  ['live data', 'works', 'removed', 'renamed', 'emptied', 'replaced by an empty file', 'noise appended'],
  ['live data', 'refused', 'noise all over', 'first head flipped', 'both heads flipped', 'replaced by an empty folder'],
  ['live lock', 'works', 'removed', 'emptied', 'cut in half', 'noise all over'],
];

describe('a bus that opens damaged files handles every accepted job, or rejects', () => {
  let host: Process | undefined;
  afterAll(async () => host?.kill());

  const parts = [...new Set(atRest.map(([part]) => part))];
  test.concurrent.each(parts)('%s', async (part) => {
    if (host === undefined || host.isOver) host = new Process();
    const process = host;
    const rows = atRest.filter(([of]) => of === part);
    const cells = rows.flatMap(([, outcome, ...kinds]) => kinds.map((kind) => ({ kind, outcome })));
    const ends = await Promise.allSettled(
      cells.map(({ kind, outcome }) => slots.run(() => reopen(process, part, kind, outcome))),
    );
    const failed = ends.flatMap((end, n) =>
      end.status === 'rejected' ? [`${part} ${cells[n]?.kind} (${cells[n]?.outcome}): ${String(end.reason)}`] : [],
    );
    expect(failed).toEqual([]);
  });
});

async function reopen(host: Process, part: Part, kind: Damage, outcome: Reopening): Promise<void> {
  const dir = path.join(freshDirectory(), 'bus');
  await host.tell('set', dir);
  await host.tell('open', dir, 'visitor', 'none');
  const sent = Array.from({ length: 50 }, (_, n) => n);
  for (const n of sent) await host.tell('submit', dir, n);
  await host.tell('close', dir);
  damage(dir, part, kind);
  const opened = await host.codeOf('open', dir, 'shop', 'none');
  if (outcome === 'refused' || (outcome === 'either' && opened !== 'ok'))
    return expect(opened).toMatch(/^(Config|Unreachable)$/);
  expect(opened).toBe('ok');
  const handled = (): Promise<number[]> => host.tell('handled', dir);
  if (outcome === 'empty') expect(await handled()).toEqual([]);
  else await until(async () => (await handled()).length === sent.length);
  expect(await host.codeOf('submit', dir, 1_000)).toBe('ok');
  await until(async () => (await handled()).includes(1_000));
  await host.tell('close', dir);
}

/** Runs one damage in its own directory; the processes run other cells at the same time. */
async function meet(cell: Cell, { uid, host, visitor }: Processes): Promise<void> {
  const { part, kind, outcome, opening } = cell;
  const dir = await stand(host, uid);
  damage(dir, part, kind);
  await checkHost(host, dir, outcome);
  await checkVisitor(host, visitor, dir, outcome, opening);
  if (part === 'settings' || part === 'generation') await until(() => hasSettings(dir) || outcome === 'reports');
  const closedMs = await host.tell<number>('close', dir);
  expect(closedMs).toBeLessThan(5_000);
  expect(host.isOver).toBe(false);
}

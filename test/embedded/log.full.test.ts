import { spawn, spawnSync, execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { join } from 'node:path';
import { sleep, systemClock, systemRandom, type Clock } from '../../src/base/clock';
import { isBusError } from '../../src/base/errors';
import { openNotices, type Notice, type Notices } from '../../src/base/notices';
import { openStore } from '../../src/disk/lmdb';
import { keyOf, kinds } from '../../src/embedded/store/keys';
import { openEmbeddedLog } from '../../src/embedded/log';
import type { Append, Log } from '../../src/ports/log';
import { rejection } from '../support/conformance';
import { quickest } from '../elapsed';
import { openLogs } from '../support/embedded-log';
import { Yard } from './logprocess';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (let run = undo.pop(); run !== undefined; run = undo.pop()) await run();
});
function logs(): ReturnType<typeof openLogs> {
  const opened = openLogs();
  undo.push(() => opened.close());
  return opened;
}

const max = { messages: 1_000, bytes: 10_000_000 };
const topic = { name: 'topic', partitions: 1, compacted: false, keepMs: null };
const record = (value: string | Uint8Array): Append => ({
  partition: 0,
  key: null,
  value: typeof value === 'string' ? Buffer.from(value) : value,
  headers: {},
});
const valuesOf = async (log: Log): Promise<string[]> =>
  (await log.peek('topic', { partition: 0, offset: 0 }, max)).map(({ value }) => Buffer.from(value ?? []).toString());

/** Timers are 20 times as fast while this is set. It starts unset, so that a busy disk does not cause time-outs. */
let hurry: boolean;
beforeEach(() => (hurry = false));
const hasty: Clock = {
  ...systemClock,
  after: (delayMs, run) => systemClock.after(hurry ? delayMs / 20 : delayMs, run),
};
async function openHasty(dir: string, self = 'hasty', notices = openNotices()): Promise<Log> {
  const neighbours = { address: self, alive: () => true, ring: () => undefined, onRing: () => () => undefined };
  const log = await openEmbeddedLog({
    dir,
    self,
    clock: hasty,
    random: systemRandom,
    notices,
    peers: neighbours,
  });
  undo.push(() => log.close());
  return log;
}
/** Starts a process that holds the write lock of the log in `dir`, and stops it. */
async function stoppedHolder(dir: string): Promise<ChildProcess> {
  const script = [join(__dirname, '../disk/child.ts'), 'hold', join(dir, 'log')];
  const child = spawn(process.execPath, ['-r', join(__dirname, '../register.cjs'), ...script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  undo.push(() => child.kill('SIGKILL'));
  await once(child.stdout!, 'data');
  child.kill('SIGSTOP');
  hurry = true;
  return child;
}

describe('the directory', () => {
  it('has files and folders for the owner only, and none of an earlier boot', async () => {
    const { dir, open } = logs();
    fs.mkdirSync(join(dir, 'live-an-earlier-boot'));
    fs.writeFileSync(join(dir, 'live-an-earlier-boot', 'data.mdb'), 'may be damaged');
    await open();
    const names = fs.readdirSync(dir, { recursive: true, withFileTypes: true });
    expect(names).toHaveLength(7);
    for (const name of names) {
      const mode = fs.statSync(join(name.parentPath, name.name)).mode & 0o777;
      expect(mode.toString(8)).toBe(name.isDirectory() ? '700' : '600');
    }
    expect(fs.readdirSync(dir).sort()).toEqual([expect.stringMatching(/^live-[-0-9a-f]{36}$/), 'log', 'log.json']);
  });

  describe('with live files of an earlier boot', () => {
    const old = 'live-an-earlier-boot';
    const spied = (spy: jest.SpyInstance): void => void undo.push(() => spy.mockRestore());

    it('opens and reports them when they cannot be removed', async () => {
      const { dir } = logs();
      fs.mkdirSync(join(dir, old));
      const notices = openNotices();
      const kept: Notice[] = [];
      notices.watch((notice) => kept.push(notice));
      const { rmSync } = fs;
      const removing = jest.spyOn(fs, 'rmSync');
      spied(removing);
      const failing = (code: string) =>
        removing.mockImplementation((path, options) => {
          if (String(path).includes(old)) throw Object.assign(new Error(`${code}: it failed`), { code });
          rmSync(path, options);
        });
      failing('EACCES');
      await openHasty(dir, 'one', notices);
      const fields = { folder: join(dir, old), reason: 'EACCES: it failed' };
      const message = 'files of an earlier boot of the machine cannot be removed';
      expect(kept).toEqual([{ type: 'log', level: 'warn', message, fields }]);
      failing('ENOTEMPTY'); // another process removes them at the same moment
      await openHasty(dir, 'two', notices);
      expect(kept).toHaveLength(1);
    });

    it('removes them before it opens new ones, which need their room', async () => {
      const { dir, open } = logs();
      const { log } = await open();
      await log.close();
      const live = join(dir, fs.readdirSync(dir).find((name) => name.startsWith('live-')) ?? '');
      fs.rmSync(live, { recursive: true });
      fs.writeFileSync(live, 'a file, where the folder has to be');
      fs.mkdirSync(join(dir, old));
      await expect(open()).rejects.toMatchObject({ code: 'Config' });
      expect(fs.existsSync(join(dir, old))).toBe(false);
    });

    it('keeps those that a process can be using because a boot cannot be determined', async () => {
      const { dir, open } = logs();
      fs.mkdirSync(join(dir, 'live-any'));
      await open();
      expect(fs.existsSync(join(dir, 'live-any'))).toBe(true);
      fs.mkdirSync(join(dir, old));
      const { existsSync } = fs;
      spied(
        jest
          .spyOn(fs, 'existsSync')
          .mockImplementation((path) => !String(path).endsWith('boot_id') && existsSync(path)),
      );
      await open();
      expect(fs.existsSync(join(dir, old))).toBe(true);
    });
  });

  it('is rejected with its path and left unchanged when a newer version wrote it', async () => {
    const { dir, open } = logs();
    const { log } = await open();
    await log.close();
    const key = keyOf(kinds.layout, []);
    const store = await openStore(join(dir, 'log'), { clock: systemClock, durable: true });
    await store.write(null, [{ key, value: Buffer.from([1]), version: 2 }]);
    const error = await rejection(open());
    expect(isBusError(error, 'Config') && error.message).toBe(
      `${join(dir, 'log')} was written by a newer busbar (layout 2, this one supports 1). Upgrade this process`,
    );
    store.refresh();
    expect(store.version(key)).toBe(2);
    await store.release();
  });

  it('is reported as broken to a log that opens later in this process', async () => {
    const { dir, open } = logs();
    const first = await open();
    const live = join(dir, fs.readdirSync(dir).find((name) => name.startsWith('live-')) ?? '', 'data.mdb');
    fs.renameSync(live, `${live}.moved`);
    const failing = async (notices: Notices): Promise<Notice[]> => {
      const states: Notice[] = [];
      notices.watchStates((notice) => states.push(notice));
      while (states.length === 0) await sleep(systemClock, 20);
      return states;
    };
    const reported = { type: 'state', part: 'leases', ok: false, final: true };
    expect(await failing(first.notices)).toMatchObject([reported]);
    const states: Notice[] = [];
    (await open()).notices.watchStates((notice) => states.push(notice));
    expect(states).toMatchObject([reported]);
  });

  it('serves two logs of one process, and one after the other has closed', async () => {
    const { open } = logs();
    const [one, two] = [(await open()).log, (await open()).log];
    await one.ensure(topic);
    await one.append('topic', [record('a')]);
    await one.close();
    await two.append('topic', [record('b')]);
    expect(await valuesOf(two)).toEqual(['a', 'b']);
  });
});

describe('a record that was damaged on the disk', () => {
  it('is reported and skipped, and its neighbors are read', async () => {
    const { dir, open } = logs();
    const first = await open();
    await first.log.ensure(topic);
    for (const value of ['before', 'a value that is found in the file', 'after'])
      await first.log.append('topic', [record(value)]);
    await first.log.close();
    const file = join(dir, 'log', 'data.mdb');
    const bytes = fs.readFileSync(file);
    // Every copy, because pages of earlier transactions can hold the same value.
    for (let at = bytes.indexOf('that is found'); at >= 0; at = bytes.indexOf('that is found', at))
      bytes.write('THAT', at);
    fs.writeFileSync(file, bytes);

    const { log, notices } = await open();
    const told: Notice[] = [];
    notices.watch((notice) => told.push(notice));
    expect(await valuesOf(log)).toEqual(['before', 'after']);
    const tail = await log.tail('topic', 'start');
    expect((await tail.read(max)).map(({ offset }) => offset)).toEqual([0, 2]);
    const dropped = { type: 'dropped', what: 'record topic/0/1', reason: 'damaged on the disk: wrong checksum' };
    expect(told).toEqual([dropped, dropped]);
  });
});

describe('while a stopped process holds the write lock', () => {
  it('an append rejects with its pid, reads continue, and appends succeed after its end', async () => {
    const { dir } = logs();
    const log = await openHasty(dir);
    await log.ensure(topic);
    await log.append('topic', [record('before')]);
    const child = await stoppedHolder(dir);
    const errors = await Promise.all([
      rejection(log.append('topic', [record('during')])),
      rejection(log.append('topic', [record('too')])),
    ]);
    for (const error of errors) {
      expect(isBusError(error, 'Unreachable') && error.message).toContain(
        `the write lock is held by process ${child.pid}, which is stopped`,
      );
      expect(isBusError(error, 'Unreachable') && error.details.waitedMs).toBe(10_000);
    }
    expect(await valuesOf(log)).toEqual(['before']);
    hurry = false;
    const after = log.append('topic', [record('after')]);
    child.kill('SIGKILL');
    await after;
    // A pending append is written or not, but never after a later one.
    const values = await valuesOf(log);
    expect(values.at(0)).toBe('before');
    expect(values.at(-1)).toBe('after');
  });

  it('a state notice names it before an append fails, and ends when the process continues', async () => {
    const { dir, open } = logs();
    const { log, notices } = await open();
    const states: Extract<Notice, { type: 'state' }>[] = [];
    notices.watch((notice) => notice.type === 'state' && states.push(notice));
    const reported = async (count: number): Promise<void> => {
      const untilMs = performance.now() + 8_000; // an append fails after ten seconds
      while (states.length < count && performance.now() < untilMs) await sleep(systemClock, 20);
    };
    await log.ensure(topic);
    const child = await stoppedHolder(dir);
    hurry = false;
    const append = log.append('topic', [record('during')]);
    await reported(1);
    const reason = expect.stringContaining(`the write lock is held by process ${child.pid}, which is stopped`);
    expect(states).toEqual([{ type: 'state', part: 'store', ok: false, reason }]);
    child.kill('SIGCONT');
    child.kill('SIGTERM');
    await append;
    await reported(2);
    expect(states[1]).toMatchObject({ part: 'store', ok: true });
  });

  it('appends beyond the queue limit reject with Overloaded, and the log can be closed', async () => {
    const { dir } = logs();
    const log = await openHasty(dir);
    await log.ensure(topic);
    await stoppedHolder(dir);
    const megabyte = new Uint8Array(1_000_000);
    const settled = Array.from({ length: 70 }, () => rejection(log.append('topic', [record(megabyte)])));
    const overloaded = (await Promise.all(settled)).filter((error) => isBusError(error, 'Overloaded'));
    expect(overloaded.length).toBeGreaterThanOrEqual(2);
    expect(String(overloaded[0])).toMatch(/no room for more \(\d+ of 200000 records, \d+ of 67108864 bytes\)$/);
    await log.close();
  });
});

describe('a disk that is full', () => {
  it('rejects appends, keeps acknowledged records, and accepts more when space is freed', async () => {
    const dir = fs.mkdtempSync('/tmp/busbar-full-');
    undo.push(() => fs.rmSync(dir, { recursive: true, force: true }));
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=700', 'busbar', dir]).status !== 0) {
      console.log('skipped: mounting a small tmpfs needs root');
      return;
    }
    undo.push(() => execFileSync('umount', ['-l', dir]));
    const told = jest.spyOn(console, 'error').mockReturnValue(); // lmdb prints the error that it rejects with
    undo.push(() => told.mockRestore());
    const ballast = join(dir, 'ballast');
    const log = await openHasty(dir);
    await log.ensure(topic);
    fs.writeFileSync(ballast, Buffer.alloc(2_000_000));
    let written = 0;
    const fillUp = async (): Promise<void> => {
      for (; written < 1_000; written += 1) await log.append('topic', [record('x'.repeat(50_000))]);
    };
    const error = await rejection(fillUp());
    expect(isBusError(error, 'DiskFull') && error.message).toContain('nothing was written, because the disk is full');
    expect(await valuesOf(log)).toHaveLength(written);
    fs.unlinkSync(ballast);
    await log.append('topic', [record('after')]);
    const values = await valuesOf(log);
    expect(values).toHaveLength(written + 1);
    expect(values.at(-1)).toBe('after');
  });
});

describe('size', () => {
  it('a log with a million records opens in under a second', async () => {
    const yard = new Yard();
    undo.push(() => yard.end());
    const log = await yard.log();
    await log.ensure({ ...topic, partitions: 12 });
    const body = Buffer.alloc(100, 'x');
    const list = Array.from({ length: 1_000 }, (_, n): Append => ({ ...record(body), partition: n % 12 }));
    for (let n = 0; n < 250; n += 1) await Promise.all([1, 2, 3, 4].map(() => log.append('topic', list)));
    expect((await log.bounds('topic')).reduce((sum, { end }) => sum + end, 0)).toBe(1_000_000);
    await log.close();
    const openedMs = await quickest(1_000, async (n) => {
      const child = await yard.child(`child ${n}`);
      await child.kill();
      return child.opened;
    });
    console.log(`a log of a million records was opened in ${Math.round(openedMs)} ms`);
    expect(openedMs).toBeLessThan(1_000);
  }, 300_000);

  it('the writer and the reader of 100,000 waiting messages stay below 150 MB each', async () => {
    const yard = new Yard();
    undo.push(() => yard.end());
    const log = await yard.log();
    await log.ensure({ ...topic, partitions: 12 });
    await yard.child('warm'); // compiles the modules, so that the memory of the other processes does not include the compiler
    const [writer, reader] = await Promise.all([yard.child('writer'), yard.child('reader')]);
    await writer.tell('append', 'topic', 12, 8_334, 32);
    await reader.tell('tail', 'topic', 100_000);
    const megabytes = await Promise.all([writer.tell('memory'), reader.tell('memory')]);
    console.log(
      `with 100,000 waiting messages the writer has ${String(megabytes[0])} MB, the reader ${String(megabytes[1])} MB`,
    );
    for (const each of megabytes) expect(each).toBeLessThan(150);
  }, 240_000);

  it('a process with waiting members and tails uses less than 1 % of a CPU', async () => {
    const yard = new Yard();
    undo.push(() => yard.end());
    const log = await yard.log();
    await log.ensure({ ...topic, partitions: 12 });
    const children = await Promise.all(['a', 'b', 'c'].map((name) => yard.child(name)));
    for (const child of children) {
      for (const group of ['g1', 'g2', 'g3']) await child.tell('join', group, 'topic', 10_000);
      await child.tell('tail', 'topic', 0);
    }
    await new Promise((resolve) => setTimeout(resolve, 2_000)); // the start of the processes does not count
    const cpuMs = async (): Promise<number> => Number(await children[0]!.tell('cpu'));
    const percents: number[] = [];
    for (let n = 0; n < 3; n += 1) {
      const [before, startMs] = [await cpuMs(), performance.now()];
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      percents.push((((await cpuMs()) - before) / (performance.now() - startMs)) * 100);
    }
    const median = percents.toSorted((a, b) => a - b)[1]!;
    console.log(`idle: ${median.toFixed(2)} % of a CPU`);
    expect(median).toBeLessThan(1);
  }, 240_000);

  it('the file stays small after trims, also while a reading process is stopped', async () => {
    const yard = new Yard();
    undo.push(() => yard.end());
    const log = await yard.log();
    await log.ensure(topic);
    await log.append('topic', [record('first')]);
    const child = await yard.child('reader');
    void child.tell('pauseBehindReading', 'topic');
    await child.stopped();
    const list = Array.from({ length: 100 }, () => record(Buffer.alloc(1_000, 'x')));
    for (let n = 0; n < 300; n += 1) {
      const places = await log.append('topic', list);
      await log.trim('topic', 0, places.at(-1)!.offset);
    }
    const megabytes = fs.statSync(join(yard.dir, 'log', 'data.mdb')).size / 1e6;
    console.log(`30 MB appended and trimmed: the file has ${megabytes.toFixed(1)} MB`);
    expect(megabytes).toBeLessThan(5);
  }, 240_000);
});

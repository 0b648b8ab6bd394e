import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../src/base/clock';
import { isBusError } from '../../src/base/errors';
import { openStore, type Store } from '../../src/disk/lmdb';
import { rejection } from '../support/conformance';

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (let run = undo.pop(); run !== undefined; run = undo.pop()) await run();
});

function freshDirectory(): string {
  const dir = fs.mkdtempSync(join(tmpdir(), 'busbar-disk-'));
  undo.push(() => fs.rmSync(dir, { recursive: true, force: true }));
  return dir;
}
async function open(path: string, clock = systemClock): Promise<Store> {
  const store = await openStore(path, { clock, durable: true });
  undo.push(() => store.release());
  return store;
}
function start(role: string, path: string, ...through: string[]): ChildProcess {
  const command = [
    ...through,
    process.execPath,
    '-r',
    join(__dirname, '../register.cjs'),
    join(__dirname, 'child.ts'),
    role,
    path,
  ];
  const child = spawn(command[0]!, command.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
  undo.push(() => child.kill('SIGKILL'));
  return child;
}
const firstLine = async (child: ChildProcess): Promise<string> => String((await once(child.stdout!, 'data'))[0]);

const key = (text: string): Buffer => Buffer.from(text);
const value = (text: string): Buffer => Buffer.from(text);
const textAt = (store: Store, text: string): string | undefined => {
  store.refresh();
  return store.entry(key(text))?.value.toString();
};

describe('a guarded write', () => {
  it('makes all changes if the guard holds, and none otherwise', async () => {
    const store = await open(freshDirectory());
    expect(
      await store.write({ key: key('v'), version: null }, [{ key: key('v'), value: value('1'), version: 1 }]),
    ).toBe(true);
    const changes = [
      { key: key('x'), value: value('x') },
      { key: key('v'), value: value('2'), version: 2 },
      { key: key('y'), value: value('y') },
    ];
    expect(await store.write({ key: key('v'), version: null }, changes)).toBe(false);
    expect(await store.write({ key: key('v'), version: 7 }, changes)).toBe(false);
    expect(await store.write({ key: key('not there'), version: 1 }, changes)).toBe(false);
    expect([textAt(store, 'x'), textAt(store, 'v'), textAt(store, 'y')]).toEqual([undefined, '1', undefined]);
    expect(await store.write({ key: key('v'), version: 1 }, changes)).toBe(true);
    expect([textAt(store, 'x'), textAt(store, 'v'), textAt(store, 'y')]).toEqual(['x', '2', 'y']);
    expect(store.version(key('v'))).toBe(2);
  });

  it('lets one of fifty concurrent writes win, and the others return false', async () => {
    const store = await open(freshDirectory());
    await store.write(null, [{ key: key('n'), value: value('n'), version: 0 }]);
    const won = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        store.write({ key: key('n'), version: 0 }, [
          { key: key(`winner ${n}`), value: value('!') },
          { key: key('n'), value: value('n'), version: 1 },
        ]),
      ),
    );
    expect(won.filter(Boolean)).toHaveLength(1);
    const winners: string[] = [];
    store.refresh();
    store.scan(key('winner'), key('winner~'), (found) => winners.push(found.toString()) > 0);
    expect(winners).toEqual([`winner ${won.indexOf(true)}`]);
  });

  it('is stored whole or not at all after kill -9, and never lost once acknowledged', async () => {
    const dir = freshDirectory();
    for (let round = 0; round < 4; round += 1) {
      const child = start('pairs', dir);
      let said = '';
      child.stdout!.on('data', (data) => (said += String(data)));
      await once(child.stdout!, 'data');
      await new Promise((resolve) => setTimeout(resolve, 50 + round * 37));
      child.kill('SIGKILL');
      await once(child, 'close');
      const acknowledged = said.split('\n').slice(0, -1).map(Number);
      expect(acknowledged.length).toBeGreaterThan(0);
      const store = await open(dir);
      for (const n of acknowledged) expect(textAt(store, `c${n}`)).toBe(`${n} `.repeat(200));
      const next = acknowledged.at(-1)! + 1;
      expect(new Set(['a', 'b', 'c'].map((letter) => textAt(store, `${letter}${next}`))).size).toBe(1);
      await store.release();
    }
  });
});

describe('opening', () => {
  it('creates files for the owner only', async () => {
    const dir = freshDirectory();
    await open(dir);
    for (const name of fs.readdirSync(dir)) expect((fs.statSync(join(dir, name)).mode & 0o777).toString(8)).toBe('600');
    expect(fs.readdirSync(dir).sort()).toEqual(['data.mdb', 'lock.mdb']);
  });

  it('shares the files within a process until the last handle is released', async () => {
    const dir = freshDirectory();
    const [one, two] = [await open(dir), await open(dir)];
    await one.write(null, [{ key: key('k'), value: value('v') }]);
    await one.release();
    expect(isBusError(await rejection(one.write(null, [])), 'Closed')).toBe(true);
    expect(textAt(two, 'k')).toBe('v');
    await two.release();
    const again = await Promise.all([open(dir), open(dir)]);
    expect(again.map((store) => textAt(store, 'k'))).toEqual(['v', 'v']);
  });

  const damage: Record<string, (file: string) => void> = {
    'was not written by busbar': (file) =>
      fs.writeFileSync(file, 'a text of somebody else that is long enough\n'.repeat(500)),
    'is not a file': (file) => fs.mkdirSync(file),
    'is cut off at': (file) => fs.truncateSync(file, 100 * 4096),
    'is damaged (second head)': (file) => overwrite(file, 4096, Buffer.alloc(4096)),
    'is damaged (page size)': (file) => overwrite(file, 48, Buffer.from([1, 2, 3, 4])),
    'is of another version of LMDB': (file) => overwrite(file, 28, Buffer.from([9])),
  };
  const overwrite = (file: string, position: number, bytes: Buffer): void => {
    const opened = fs.openSync(file, 'r+');
    fs.writeSync(opened, bytes, 0, bytes.length, position);
    fs.closeSync(opened);
  };
  for (const [reason, hurt] of Object.entries(damage)) {
    it(`rejects a file that ${reason}, names it, and leaves it unchanged`, async () => {
      const dir = freshDirectory();
      const file = join(dir, 'data.mdb');
      if (!/^(was|is) not/.test(reason)) await fill(dir);
      hurt(file);
      const before = contentOf(file);
      const error = await rejection(openStore(dir, { clock: systemClock, durable: true }));
      expect(isBusError(error, 'Config') && error.message).toContain(`${file} ${reason}`);
      expect(String(error)).toContain('restore a backup, or move the file away');
      expect(contentOf(file)).toBe(before);
    });
  }
  it('accepts a file that another process enlarges meanwhile', async () => {
    const dir = freshDirectory();
    const file = join(dir, 'data.mdb');
    await (await openStore(dir, { clock: systemClock, durable: true })).release();
    const small = fs.readFileSync(file);
    await fill(dir);
    const large = fs.readFileSync(file);
    fs.writeFileSync(file, small);
    const real = fs.readSync.bind(fs);
    let grown = 0;
    const read = jest.spyOn(fs, 'readSync').mockImplementation((...given: unknown[]) => {
      // Right before its heads are read for the first time, when its size can have been read already.
      if (fs.readlinkSync(`/proc/self/fd/${String(given[0])}`) === file && grown++ === 0) fs.writeFileSync(file, large);
      return Reflect.apply(real, undefined, given) as number;
    });
    undo.push(() => read.mockRestore());
    const waits = jest.fn<ReturnType<Clock['after']>, Parameters<Clock['after']>>((ms, run) =>
      systemClock.after(ms, run),
    );
    const store = await open(dir, { ...systemClock, after: waits });
    expect(grown).toBeGreaterThan(0);
    expect(waits).not.toHaveBeenCalledWith(100, expect.anything()); // it does not read the file a second time
    expect(read).toHaveBeenCalled();
    expect(store.entry(key('9'))?.value).toHaveLength(100_000);
  });
  it('waits for a file that another process is creating until it is whole', async () => {
    const dir = freshDirectory();
    const file = join(dir, 'data.mdb');
    await fill(dir);
    const whole = fs.readFileSync(file);
    fs.writeFileSync(file, whole.subarray(0, 4096));
    const clock: Clock = {
      ...systemClock,
      after: (delayMs, run) => {
        fs.writeFileSync(file, whole);
        return systemClock.after(delayMs, run);
      },
    };
    expect((await open(dir, clock)).entry(key('9'))?.value).toHaveLength(100_000);
  });
  it('rejects a file with a damaged page, and names the page', async () => {
    const dir = freshDirectory();
    const file = join(dir, 'data.mdb');
    await fill(dir);
    overwrite(file, rootAt(file), Buffer.alloc(4096)); // the root of the tree
    const error = await rejection(open(dir));
    expect(isBusError(error, 'Config') && error.message).toMatch(
      /^\S+ is damaged or cut off \(page \d+ is not of its tree\)/,
    );
  });

  it('breaks an open store when a damaged page is read, and reports it as final', async () => {
    const dir = freshDirectory();
    await fill(dir);
    const faults: unknown[] = [];
    const store = await openStore(dir, { clock: systemClock, durable: true, onChange: (fault) => faults.push(fault) });
    undo.push(() => store.release());
    overwrite(join(dir, 'data.mdb'), rootAt(join(dir, 'data.mdb')), Buffer.alloc(4096));
    const code = { code: 'StoreBroken', message: expect.stringMatching(/is damaged \(.*MDB_\w+.*restore a backup/) };
    expect(() => textAt(store, '9')).toThrow(expect.objectContaining(code));
    expect(faults).toEqual([{ reason: expect.stringContaining(`${dir} is damaged`), final: true }]);
    expect(store.check()).toBe(false);
    await expect(store.write(null, [{ key: key('k'), value: value('v') }])).rejects.toMatchObject({
      code: 'StoreBroken',
      details: { outcome: 'not-sent' },
    });
  });
  const rootAt = (file: string): number => {
    const heads = fs.readFileSync(file).subarray(0, 8192);
    const newest = heads.readBigUInt64LE(152) > heads.readBigUInt64LE(4096 + 152) ? 0 : 4096;
    return Number(heads.readBigUInt64LE(newest + 136)) * 4096;
  };
  const contentOf = (file: string): string =>
    fs.statSync(file).isFile() ? createHash('sha256').update(fs.readFileSync(file)).digest('hex') : 'no file';
  async function fill(dir: string): Promise<void> {
    const store = await openStore(dir, { clock: systemClock, durable: true });
    for (let n = 0; n < 10; n += 1) await store.write(null, [{ key: key(`${n}`), value: Buffer.alloc(100_000, 7) }]);
    await store.release();
  }
});

describe('a process that was stopped while it held the write lock', () => {
  async function stopped(dir: string): Promise<ChildProcess> {
    const child = start('hold', dir);
    expect(await firstLine(child)).toBe('holding\n');
    child.kill('SIGSTOP');
    return child;
  }

  it('is named when a write times out, and the write completes after its end', async () => {
    const dir = freshDirectory();
    let hurry = false; // set when the lock is held, so that a busy disk does not cause time-outs before
    const clock: Clock = { ...systemClock, after: (ms, run) => systemClock.after(hurry ? ms / 30 : ms, run) };
    const store = await open(dir, clock);
    const child = await stopped(dir);
    hurry = true;
    const writing = store.write(null, [{ key: key('k'), value: value('v') }]);
    const error = await rejection(store.within(writing));
    expect(isBusError(error, 'Unreachable') && error.message).toContain(
      'the write took longer than 10000 ms, and whether its data was stored is unknown; ' +
        `the write lock is held by process ${child.pid}, which is stopped`,
    );
    child.kill('SIGKILL');
    expect(await writing).toBe(true);
    expect(textAt(store, 'k')).toBe('v');
  });

  it('is named when opening the files times out', async () => {
    const dir = freshDirectory();
    const child = await stopped(dir);
    const error = await rejection(openStore(dir, { clock: systemClock, durable: true, writeMs: 300 }));
    expect(isBusError(error, 'Unreachable') && error.message).toContain(
      `held by process ${child.pid}, which is stopped`,
    );
    child.kill('SIGKILL');
    await once(child, 'close');
    await open(dir);
  });
});

describe('a disk error', () => {
  it('on a full disk rejects writes, keeps the data, and ends when space is freed', async () => {
    const dir = freshDirectory();
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'busbar', dir]).status !== 0) {
      console.log('skipped: mounting a small tmpfs needs root');
      return;
    }
    undo.push(() => execFileSync('umount', ['-l', dir]));
    const ballast = join(dir, 'ballast');
    fs.writeFileSync(ballast, Buffer.alloc(800_000));
    fs.mkdirSync(join(dir, 'store'));
    const unheard = jest.fn();
    process.on('unhandledRejection', unheard);
    undo.push(() => process.off('unhandledRejection', unheard));
    const told = jest.spyOn(console, 'error').mockReturnValue(); // the package prints the error that it rejects with
    undo.push(() => told.mockRestore());

    const store = await open(join(dir, 'store'));
    let written = 0;
    const fillUp = async (): Promise<void> => {
      for (; written < 1_000; written += 1)
        await store.write(null, [{ key: key(`${written}`), value: Buffer.alloc(20_000, 7) }]);
    };
    const error = await rejection(fillUp());
    expect(isBusError(error, 'DiskFull') && error.message).toContain('nothing was written, because the disk is full');
    expect(error).toMatchObject({ retryable: true, details: { outcome: 'not-sent', path: join(dir, 'store') } });
    expect(written).toBeGreaterThan(20);
    for (let n = 0; n < written; n += 1)
      expect(store.entry(key(`${n}`))?.value.equals(Buffer.alloc(20_000, 7))).toBe(true);
    fs.unlinkSync(ballast);
    await store.write(null, [{ key: key('after'), value: Buffer.alloc(20_000, 8) }]);
    await store.release();
    const again = await open(join(dir, 'store'));
    for (let n = 0; n < written; n += 1) expect(again.entry(key(`${n}`))?.value.length).toBe(20_000);
    expect(again.entry(key('after'))?.value.length).toBe(20_000);
    expect(unheard).not.toHaveBeenCalled();
  });

  it('during a sync gives an unknown outcome, and makes later writes reject', async () => {
    const dir = freshDirectory();
    const trace = [
      'strace',
      '-f',
      '-qq',
      '--seccomp-bpf',
      '-o',
      '/dev/null',
      '-e',
      'trace=fdatasync',
      '-e',
      'inject=fdatasync:error=EIO:when=5+',
    ];
    if (spawnSync('strace', ['-V']).status !== 0) {
      console.log('skipped: strace is not installed');
      return;
    }
    const child = start('failing', dir, ...trace);
    let said = '';
    child.stdout!.on('data', (data) => (said += String(data)));
    const [code] = await once(child, 'close');
    expect(said).toMatch(/failed after \d+: BusError: .*whether its data was stored is unknown: Input\/output error/);
    expect(said).toMatch(
      /and then: BusError: .*before a restart of this process: a write failed, .*: Input\/output error/,
    );
    expect(said).toContain('ended in peace');
    expect(code).toBe(0);
  });
});

/** The shared directory: made for its owner alone, and refused, undamaged, when it is not ours to use. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { defaultDirectory, openDirectory } from '../../../src/embedded/directory/directory';
import { systemRandom } from '../../../src/base/clock';
import { sayError } from '../../../src/base/errors';
import { cleanUp, freshDirectory } from '../kit';

afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

const open = (dir: string, ns = 'test') => openDirectory(dir, ns, systemRandom);
/** Everything in a directory with modes and contents: what must be the same after a refusal. */
function picture(at: string): unknown {
  if (!fs.existsSync(at)) return undefined;
  const { mode, uid } = fs.lstatSync(at);
  if (!fs.statSync(at).isDirectory()) return { mode, uid, text: fs.readFileSync(at, 'utf8') };
  return { mode, uid, entries: fs.readdirSync(at).map((name) => [name, picture(path.join(at, name))]) };
}
/** Why the directory is refused, with the remedy; throws when it is not, or when anything in it changed. */
function refusal(dir: string, ns = 'test'): string {
  const before = picture(dir);
  const error = thrown(() => open(dir, ns));
  expect(picture(dir)).toEqual(before);
  expect(error).toMatchObject({ code: 'Config', details: { faults: [expect.stringMatching(/; .+/)] } });
  return sayError(error);
}
function thrown(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return undefined;
}
const modeOf = (file: string): string => (fs.statSync(file).mode & 0o777).toString(8);

test('a new directory and all in it are the owner’s only', () => {
  const dir = path.join(freshDirectory(), 'a', 'b');
  const directory = open(dir);
  for (const part of [directory.path, directory.sockets, directory.instances, directory.settings]) {
    expect([part, modeOf(part)]).toEqual([part, '700']);
  }
  expect(modeOf(path.join(dir, 'busbar.json'))).toBe('600');
  expect(fs.readdirSync(dir).sort()).toEqual(['busbar.json', 'instances', 's', 'settings']);
});
test('an empty directory is taken, and opened again as it is', () => {
  const dir = freshDirectory();
  open(dir);
  const before = picture(dir);
  open(dir);
  expect(picture(dir)).toEqual(before);
});
test('an empty directory that another process takes at any moment is taken all the same', () => {
  for (let moment = 0; moment < 40; moment++) {
    const dir = freshDirectory();
    let calls = 0;
    const between = (): void => {
      if (calls++ !== moment) return;
      jest.restoreAllMocks();
      open(dir);
    };
    for (const name of ['existsSync', 'readdirSync', 'mkdirSync', 'writeFileSync', 'linkSync', 'rmSync'] as const) {
      const call = fs[name] as (...args: unknown[]) => unknown; // each with other parameters, handed on as they came
      jest.spyOn(fs, name as 'rmSync').mockImplementation((...args: unknown[]) => {
        between();
        return call(...args) as undefined;
      });
    }
    open(dir);
    jest.restoreAllMocks();
    expect(fs.readdirSync(dir).sort()).toEqual(['busbar.json', 'instances', 's', 'settings']);
    if (calls <= moment) return; // it has opened before that moment
  }
  throw new Error('opening takes more steps than there are moments here');
});
test('the default is durable: below XDG_STATE_HOME, or .local/state of the home', () => {
  const before = process.env['XDG_STATE_HOME'];
  try {
    process.env['XDG_STATE_HOME'] = '/state';
    expect(defaultDirectory('prod')).toBe('/state/busbar/prod');
    process.env['XDG_STATE_HOME'] = 'relative';
    expect(defaultDirectory('prod')).toBe(path.join(os.homedir(), '.local/state/busbar/prod'));
  } finally {
    if (before === undefined) delete process.env['XDG_STATE_HOME'];
    else process.env['XDG_STATE_HOME'] = before;
  }
});

describe('refused, undamaged:', () => {
  test('a file', () => {
    const file = path.join(freshDirectory(), 'file');
    fs.writeFileSync(file, 'mine');
    expect(refusal(file)).toMatch(/file is not a directory; set dir to a directory/);
    expect(refusal(path.join(file, 'below'))).toMatch(/below cannot be used: .*ENOTDIR/);
  });
  test('a directory that others can look into', () => {
    const dir = freshDirectory();
    for (const mode of [0o755, 0o750, 0o701, 0o777]) {
      fs.chmodSync(dir, mode);
      expect(refusal(dir)).toMatch(new RegExp(`is open to others \\(mode 0${mode.toString(8)}\\); chmod 700 ${dir}`));
    }
  });
  test('one of ours that was opened to others later', () => {
    const dir = freshDirectory();
    open(dir);
    fs.chmodSync(dir, 0o755);
    expect(refusal(dir)).toMatch(/is open to others/);
  });
  test('a directory of another user', () => {
    const dir = freshDirectory();
    jest.spyOn(process, 'geteuid').mockReturnValue(fs.statSync(dir).uid + 1);
    expect(refusal(dir)).toMatch(/belongs to user \d+, this process runs as \d+; set dir to a directory of this user/);
  });
  test('a directory with other things in it', () => {
    const dir = freshDirectory();
    fs.writeFileSync(path.join(dir, 'thesis.tex'), 'years of work');
    expect(refusal(dir)).toMatch(/holds other things \(thesis.tex\); set dir to an empty or a new directory/);
  });
  test('a directory whose marker is not ours, or damaged', () => {
    for (const text of ['', '{', '[]', '"x"', 'null', '{"layout":"1","ns":"test"}', '{"layout":1}']) {
      const dir = freshDirectory();
      fs.writeFileSync(path.join(dir, 'busbar.json'), text);
      expect(refusal(dir)).toMatch(/busbar.json is not a marker of busbar/);
    }
  });
  test('a directory of a newer layout', () => {
    const dir = freshDirectory();
    fs.writeFileSync(path.join(dir, 'busbar.json'), JSON.stringify({ busbar: 'directory', layout: 2, ns: 'test' }));
    expect(refusal(dir)).toMatch(/has layout 2, this version knows 1; update busbar/);
  });
  test('a directory of another namespace', () => {
    const dir = freshDirectory();
    open(dir, 'prod');
    expect(refusal(dir)).toMatch(/is of ns prod, not test; set ns to prod, or another dir/);
  });
  test.each([
    ['NFS', 0x6969],
    ['SMB', 0xfe534d42],
    ['SMB', -28_095_166], // as a system with signed numbers says it
    ['CIFS', 0xff534d42],
    ['FUSE', 0x65735546],
    ['9p', 0x01021997],
    ['Ceph', 0x00c36400],
  ])('a directory on %s (%d)', (name, type) => {
    const dir = path.join(freshDirectory(), 'new');
    const found = Object.assign(fs.statfsSync(os.tmpdir()), { type });
    // The cast: of the overloads, the one without bigint is what is called.
    jest.spyOn(fs, 'statfsSync').mockReturnValue(found as fs.StatsFs & fs.BigIntStatsFs);
    expect(refusal(dir)).toMatch(new RegExp(`is on a network or foreign file system \\(${name}\\); set dir to`));
    expect(fs.existsSync(dir)).toBe(false);
  });
  test('a path that is too long for a socket', () => {
    const dir = path.join(freshDirectory(), 'x'.repeat(100));
    expect(refusal(dir)).toMatch(/has 1\d\d bytes, sockets allow 65; set dir to a shorter path/);
  });
  test('a namespace that is no name', () => {
    for (const ns of ['', '..', 'a/b', 'a b', 'ä', '.hidden', 'x'.repeat(65)]) {
      expect(refusal(freshDirectory(), ns)).toMatch(/is not a name; use 1 to 64 letters/);
    }
  });
});

test('processes that create it at the same moment agree on one marker', () => {
  const dir = freshDirectory();
  // Another one is between its draft and its marker.
  fs.writeFileSync(path.join(dir, '~busbar.json.00000000'), '{"busbar"');
  open(dir);
  expect(JSON.parse(fs.readFileSync(path.join(dir, 'busbar.json'), 'utf8'))).toMatchObject({ layout: 1, ns: 'test' });
  // Another one of another namespace was first: its marker stays, and we refuse.
  const other = freshDirectory();
  const link = jest.spyOn(fs, 'linkSync').mockImplementationOnce((from, to) => {
    fs.writeFileSync(to, JSON.stringify({ busbar: 'directory', layout: 1, ns: 'prod' }));
    link.mockRestore();
    fs.linkSync(from, to);
  });
  expect(() => open(other)).toThrow(/is of ns prod, not test/);
});

/** The shared directory: created for its owner only, and rejected unchanged when busbar must not use it. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { defaultDirectory, openDirectory } from '../../../src/embedded/directory/directory';
import { systemRandom } from '../../../src/base/clock';
import { errorMessage } from '../../../src/base/errors';
import { cleanUp, freshDirectory } from '../../support/embedded-buses';

afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

const open = (dir: string, ns = 'test') => openDirectory(dir, ns, systemRandom);
/** Returns everything in a directory with modes and contents, which a rejection must not change. */
function picture(at: string): unknown {
  if (!fs.existsSync(at)) return undefined;
  const { mode, uid } = fs.lstatSync(at);
  if (!fs.statSync(at).isDirectory()) return { mode, uid, text: fs.readFileSync(at, 'utf8') };
  return { mode, uid, entries: fs.readdirSync(at).map((name) => [name, picture(path.join(at, name))]) };
}
/** Returns the error text of opening; throws when it opens, or when anything in the directory changed. */
function refusal(dir: string, ns = 'test'): string {
  const before = picture(dir);
  const error = thrown(() => open(dir, ns));
  expect(picture(dir)).toEqual(before);
  expect(error).toMatchObject({ code: 'Config', details: { faults: [expect.stringMatching(/; .+/)] } });
  return errorMessage(error);
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

test('a new directory and its content are accessible to the owner only', () => {
  const dir = path.join(freshDirectory(), 'a', 'b');
  const directory = open(dir);
  for (const part of [directory.path, directory.sockets, directory.instances, directory.settings]) {
    expect([part, modeOf(part)]).toEqual([part, '700']);
  }
  expect(modeOf(path.join(dir, 'busbar.json'))).toBe('600');
  expect(fs.readdirSync(dir).sort()).toEqual(['busbar.json', 'instances', 's', 'settings']);
});
test('an empty directory is used, and opening it again changes nothing', () => {
  const dir = freshDirectory();
  open(dir);
  const before = picture(dir);
  open(dir);
  expect(picture(dir)).toEqual(before);
});
test('an empty directory opens, although another process initializes it at any moment meanwhile', () => {
  for (let moment = 0; moment < 40; moment++) {
    const dir = freshDirectory();
    let calls = 0;
    const between = (): void => {
      if (calls++ !== moment) return;
      jest.restoreAllMocks();
      open(dir);
    };
    for (const name of ['existsSync', 'readdirSync', 'mkdirSync', 'writeFileSync', 'linkSync', 'rmSync'] as const) {
      const call = fs[name] as (...args: unknown[]) => unknown; // each has other parameters, which are passed through
      jest.spyOn(fs, name as 'rmSync').mockImplementation((...args: unknown[]) => {
        between();
        return call(...args) as undefined;
      });
    }
    open(dir);
    jest.restoreAllMocks();
    expect(fs.readdirSync(dir).sort()).toEqual(['busbar.json', 'instances', 's', 'settings']);
    if (calls <= moment) return; // opening was complete before that moment
  }
  throw new Error('opening takes more steps than there are moments here');
});
test('the default directory is below XDG_STATE_HOME, or .local/state of the home directory', () => {
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

describe('rejects and leaves unchanged', () => {
  test('a file', () => {
    const file = path.join(freshDirectory(), 'file');
    fs.writeFileSync(file, 'mine');
    expect(refusal(file)).toMatch(/file is not a directory; set dir to a directory/);
    expect(refusal(path.join(file, 'below'))).toMatch(/below cannot be used: .*ENOTDIR/);
  });
  test('a directory that other users can access', () => {
    const dir = freshDirectory();
    for (const mode of [0o755, 0o750, 0o701, 0o777]) {
      fs.chmodSync(dir, mode);
      expect(refusal(dir)).toMatch(
        new RegExp(`can be accessed by other users \\(mode 0${mode.toString(8)}\\); chmod 700 ${dir}`),
      );
    }
  });
  test('a busbar directory that was opened to other users later', () => {
    const dir = freshDirectory();
    open(dir);
    fs.chmodSync(dir, 0o755);
    expect(refusal(dir)).toMatch(/can be accessed by other users/);
  });
  test('a directory of another user', () => {
    const dir = freshDirectory();
    jest.spyOn(process, 'geteuid').mockReturnValue(fs.statSync(dir).uid + 1);
    expect(refusal(dir)).toMatch(/belongs to user \d+, this process runs as \d+; set dir to a directory of this user/);
  });
  test('a directory with other files in it', () => {
    const dir = freshDirectory();
    fs.writeFileSync(path.join(dir, 'thesis.tex'), 'years of work');
    expect(refusal(dir)).toMatch(/contains foreign files \(thesis.tex\); set dir to an empty or a new directory/);
  });
  test('a directory whose marker is foreign or damaged', () => {
    for (const text of ['', '{', '[]', '"x"', 'null', '{"layout":"1","ns":"test"}', '{"layout":1}']) {
      const dir = freshDirectory();
      fs.writeFileSync(path.join(dir, 'busbar.json'), text);
      expect(refusal(dir)).toMatch(/busbar.json is not a marker of busbar/);
    }
  });
  test('a directory of a newer layout', () => {
    const dir = freshDirectory();
    fs.writeFileSync(path.join(dir, 'busbar.json'), JSON.stringify({ busbar: 'directory', layout: 2, ns: 'test' }));
    expect(refusal(dir)).toMatch(/has layout 2, but this version of busbar supports 1; update busbar/);
  });
  test('a directory of another namespace', () => {
    const dir = freshDirectory();
    open(dir, 'prod');
    expect(refusal(dir)).toMatch(/belongs to ns prod, not test; set ns to prod, or set dir to another one/);
  });
  test.each([
    ['NFS', 0x6969],
    ['SMB', 0xfe534d42],
    ['SMB', -28_095_166], // the value on a system with signed numbers
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
    expect(refusal(dir)).toMatch(/has 1\d\d bytes, but sockets allow 65; set dir to a shorter path/);
  });
  test('an invalid namespace', () => {
    for (const ns of ['', '..', 'a/b', 'a b', 'ä', '.hidden', 'x'.repeat(65)]) {
      expect(refusal(freshDirectory(), ns)).toMatch(/is not a name; use 1 to 64 letters/);
    }
  });
});

test('processes that create the directory at the same moment agree on one marker', () => {
  const dir = freshDirectory();
  // Another process has written its draft, but not its marker.
  fs.writeFileSync(path.join(dir, '~busbar.json.00000000'), '{"busbar"');
  open(dir);
  expect(JSON.parse(fs.readFileSync(path.join(dir, 'busbar.json'), 'utf8'))).toMatchObject({ layout: 1, ns: 'test' });
  // A process of another namespace was first: its marker stays, and opening rejects.
  const other = freshDirectory();
  const link = jest.spyOn(fs, 'linkSync').mockImplementationOnce((from, to) => {
    fs.writeFileSync(to, JSON.stringify({ busbar: 'directory', layout: 1, ns: 'prod' }));
    link.mockRestore();
    fs.linkSync(from, to);
  });
  expect(() => open(other)).toThrow(/belongs to ns prod, not test/);
});

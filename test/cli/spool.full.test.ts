/** `busbar spool` and `busbar drain` on directories whose processes have ended, without servers. */
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { jsonLines, rows, shopCommand } from '../support/command';
import { leaveSpool } from '../support/left-spool';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

let k: ReturnType<typeof shopCommand>;
beforeEach(() => {
  k = shopCommand();
});
afterEach(() => k.close());

const topic = { name: 'test.shop.work', partitions: 2, compacted: false, keepMs: null };
/** Leaves a spool with `parked` messages that the servers refused, and `waiting` ones, and returns its directory. */
async function leave(parked: number, waiting: number): Promise<string> {
  const dir = join(k.dir, 'spool');
  await leaveSpool(dir, 'test', topic, parked, waiting);
  return dir;
}

test('spool lists what waits and what the brokers refused, without processes or brokers', async () => {
  const dir = await leave(1, 3);
  const { code, out } = await k.run(['spool', '--dir', dir]);
  expect(code).toBe(1);
  expect(rows(out)).toMatchObject(
    [
      { STATE: 'waiting', TOPIC: topic.name, MESSAGES: '3', ID: '–' },
      { STATE: 'parked', TOPIC: topic.name, ID: 'id-1', ENTRY: 'shop.pack', REASON: /limit is 1/ },
    ].map((row) => ('REASON' in row ? { ...row, REASON: expect.stringMatching(row.REASON) as string } : row)),
  );
  const json = await k.run(['spool', '-o', 'json'], { env: { BUSBAR_SPOOL: dir } });
  expect(JSON.parse(json.out)).toMatchObject({
    dir,
    ns: 'test',
    waiting: [{ topic: topic.name, messages: 3, bytes: expect.any(Number), oldestMs: expect.any(Number) }],
    parked: [{ id: 'id-1', code: 'TooLarge', topic: topic.name, offset: 0 }],
  });
  const table = await k.inTerminal(120, ['spool', '--dir', dir]).ended;
  expect(table.out).toMatch(/TOPIC +WAITING +BYTES +OLDEST/);
  expect(table.out).toMatch(/test\.shop\.work +3 /);
  expect(table.out).toMatch(/busbar spool replay --all/);
});

test('spool export writes what waits to a new file, in order, and leaves it in the spool', async () => {
  const dir = await leave(1, 3);
  const file = join(k.dir, 'waiting.jsonl');
  const first = await k.run(['spool', 'export', file, '--dir', dir]);
  expect(first.code).toBe(0);
  expect(rows(first.out)).toEqual([{ WRITTEN: '3' }]);
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject(
    [2, 3, 4].map((n) => ({
      id: `id-${n}`,
      entry: 'shop.pack',
      topic: topic.name,
      key: null,
      value: Buffer.from(`{"n":${n}}`).toString('base64'),
      acceptedAtMs: expect.any(Number) as number,
    })),
  );
  const exists = await k.run(['spool', 'export', file, '--dir', dir]);
  expect(exists).toMatchObject({ code: 64 });
  expect(exists.err).toContain('EEXIST');
  const none = await k.run(['spool', 'export', join(k.dir, 'none'), '--topic', 'test.other.work', '--dir', dir]);
  expect(none.code).toBe(1);
  const { out } = await k.run(['spool', '-o', 'json', '--dir', dir]);
  expect(JSON.parse(out)).toMatchObject({ waiting: [{ topic: topic.name, messages: 3 }] });
});

test('spool changes nothing in the directory', async () => {
  const dir = await leave(0, 2);
  const files = (): unknown => [
    readdirSync(dir).toSorted(),
    readdirSync(join(dir, 's')),
    readFileSync(join(dir, 'log', 'data.mdb')),
  ];
  const before = files();
  expect((await k.run(['spool', '--dir', dir])).code).toBe(0);
  expect(files()).toEqual(before);
});

test('spool names a directory that is no spool, and creates none', async () => {
  const missing = join(k.dir, 'missing');
  const none = await k.run(['spool', '--dir', missing]);
  expect(none).toMatchObject({ code: 64, out: '' });
  expect(none.err).toContain(`the spool is refused: ${missing} does not exist`);
  expect(existsSync(missing)).toBe(false);
  const empty = join(k.dir, 'empty');
  mkdirSync(empty, { mode: 0o700 });
  expect((await k.run(['spool', '--dir', empty])).err).toContain(`${empty} is empty, so it is not a spool`);
  expect((await k.run(['drain', '--dir', missing])).err).toContain(`${missing} does not exist`);
  expect((await k.run(['spool', 'replay', '--all', '--yes', '--dir', missing])).err).toContain('does not exist');
  expect(readdirSync(empty)).toEqual([]);
  const unnamed = await k.run(['spool']);
  expect(unnamed).toMatchObject({ code: 64 });
  expect(unnamed.err).toContain('BUSBAR_SPOOL');
});

test('spool replay previews, needs a confirmation, and puts the messages behind those that wait', async () => {
  const dir = await leave(2, 1);
  const at = ['--dir', dir];
  const asked = await k.run(['spool', 'replay', '--all', ...at]);
  expect(asked).toMatchObject({ code: 64, out: '' });
  expect(asked.err).toContain('2 messages will be sent to test.shop.work again');
  expect(asked.err).toContain('Pass --yes');
  expect((await k.run(['spool', 'replay', ...at, '--yes'])).err).toContain('name the messages with ids');
  expect((await k.run(['spool', 'replay', 'id-', ...at, '--yes'])).err).toContain(
    '2 ids of parked messages begin with',
  );
  expect((await k.run(['spool', 'replay', '--all', '--dry-run', ...at])).code).toBe(0);
  expect(await k.run(['spool', 'replay', 'id-2', '--yes', ...at])).toMatchObject({ code: 0, out: 'REPLAYED\nid-2\n' });
  const { waiting, parked } = JSON.parse((await k.run(['spool', '-o', 'json', ...at])).out) as Record<string, object[]>;
  expect(waiting).toMatchObject([{ messages: 2 }]);
  expect(parked).toMatchObject([{ id: 'id-1' }]);
  expect((await k.run(['spool', 'replay', '--reason-like', 'never', '--yes', ...at])).code).toBe(1);
});

test('spool drop exports the messages first, and drops none when it cannot', async () => {
  const dir = await leave(2, 0);
  const at = ['--dir', dir, '--yes'];
  const refused = await k.run(['spool', 'drop', '--all', ...at, '--export', join(k.dir, 'no', 'such')]);
  expect(refused.err).toContain('nothing was dropped');
  const file = join(k.dir, 'kept.jsonl');
  expect(await k.run(['spool', 'drop', '--all', ...at, '--export', file])).toMatchObject({ code: 0 });
  expect(jsonLines(readFileSync(file, 'utf8'))).toMatchObject([
    { id: 'id-1', value: Buffer.from('{"n":1}').toString('base64') },
    { id: 'id-2', headers: { bus: expect.stringContaining('id-2') } },
  ]);
  expect(JSON.parse((await k.run(['spool', '-o', 'json', '--dir', dir])).out)).toMatchObject({ parked: [] });
});

test('drain ends with an error while no broker listens, and leaves everything in the spool', async () => {
  const dir = await leave(0, 2);
  const at = ['--dir', dir, '--ns', 'test'];
  const { code, err } = await k.run(['drain', ...at, '--brokers', '127.0.0.1:1']);
  expect(code).toBe(69);
  expect(err).toContain('no broker is reachable');
  expect((await k.run(['drain', ...at])).err).toContain('needs the option brokers');
  const other = await k.run(['drain', '--dir', dir, '--ns', 'prod', '--brokers', '127.0.0.1:1']);
  expect(other).toMatchObject({ code: 64 });
  expect(other.err).toContain('belongs to ns test, not prod; set ns to test, or set spool to another one');
  const { waiting } = JSON.parse((await k.run(['spool', '-o', 'json', '--dir', dir])).out) as Record<string, object[]>;
  expect(waiting).toMatchObject([{ messages: 2 }]);
});

import { mkdirSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { jsonLines, shopCommand, rows } from '../support/command';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

const { dir, run, start, inTerminal, eventually, shop, close } = shopCommand();
let ids: readonly string[] = [];
let seller: Awaited<ReturnType<typeof shop>>;

beforeAll(async () => {
  seller = await shop();
  ids = await seller.pack([
    { key: 'a', do: 'done' },
    { key: 'a', do: 'park' },
    { key: 'b', do: 'fail' },
  ]);
  await eventually(['queues', 'shop.work'], ({ out }) => rows(out)[0]?.['PARKED'] === '2');
});
afterAll(close);

test('status prints an alarm with the next command, and exits with 1 for a warning', async () => {
  const { code, out, err } = await run([]);
  expect(rows(out)).toEqual([
    {
      SEVERITY: 'warning',
      ABOUT: 'shop.work',
      WHAT: 'parked',
      FOR: '–',
      MESSAGE: expect.stringMatching(/^2 messages are parked: 1 of shop.pack: .*; 1 of shop.pack: /),
      NEXT: 'busbar parked shop.work',
    },
  ]);
  expect({ code, err }).toEqual({ code: 1, err: '' });
  const json = await run(['status', '--json']);
  expect(JSON.parse(json.out)).toMatchObject({
    ns: 'main',
    modules: 1,
    instances: 1,
    alarms: [{ about: 'shop.work' }],
  });
});

test('queues prints exact counts', async () => {
  // Submitted here, because a message that hangs for 30 s makes the queue stuck.
  const hanging = await seller.pack([
    { key: 'c', do: 'hang' },
    { key: 'c', do: 'done' },
  ]);
  ids = [...ids, ...hanging];
  const { code, out } = await eventually(['queues'], (ended) => rows(ended.out)[2]?.['RUNNING'] === '1');
  expect(code).toBe(0);
  expect(rows(out)).toMatchObject([
    { QUEUE: 'shop.bills', STATE: 'caught up', WAITING: '0', PARKED: '0', INSTANCES: '1' },
    { QUEUE: 'shop.index', 'LISTENS TO': 'shop.sold' },
    { QUEUE: 'shop.work', STATE: 'working', WAITING: '1', RUNNING: '1', PARKED: '2', INSTANCES: '1' },
  ]);
});

test('queues --by counts the messages of each kind', async () => {
  const { code, out } = await run(['queues', 'shop.pack', '--by', 'key']);
  expect(code).toBe(0);
  expect(rows(out)).toMatchObject([{ KEY: 'c', WAITING: '1', RUNNING: '1', FIRST: ids[3] }]);
});

test('instances prints the version, pid and health of each instance', async () => {
  const { code, out } = await run(['instances', 'shop', '-o', 'jsonl']);
  expect(code).toBe(0);
  expect(jsonLines(out)).toMatchObject([
    { module: 'shop', version: '1.8.0', pid: seller.child.pid, silent: null, status: { health: { ready: true } } },
  ]);
});

test('peek prints unsettled messages in order, with the state of each', async () => {
  const { code, out } = await run(['peek', 'shop.pack']);
  expect(code).toBe(0);
  const [first, second] = rows(out);
  expect(first).toMatchObject({ '#': '1', ID: ids[3], KEY: 'c', BODY: '{"key":"c","do":"hang"}' });
  expect(first?.['IT']).toMatch(/^runs on shop#\w+: packing$/);
  expect(second).toMatchObject({ ID: ids[4], IT: `behind ${ids[3]}` });
  const json = await run(['peek', 'shop.work', '-n', '1', '-o', 'jsonl']);
  expect(jsonLines(json.out)).toMatchObject([{ id: ids[3], state: 'running', body: { do: 'hang' } }]);
  const newest = await run(['peek', 'shop.work', '--newest', '-n', '1', '-o', 'jsonl']);
  expect(jsonLines(newest.out)).toMatchObject([{ id: ids[4], body: { do: 'done' } }]);
  const none = await run(['peek', 'shop.work', '--key', 'nobody']);
  expect(none.code).toBe(1);
});

test('parked prints messages by reason, one by one, and in full as JSON', async () => {
  const byReason = await run(['parked']);
  expect(byReason.code).toBe(0);
  expect(
    rows(byReason.out)
      .map(({ REASON }) => String(REASON))
      .toSorted(),
  ).toEqual(['address unknown', 'attempt 2 of 2 failed: connect ECONNREFUSED store:443']);
  const each = await run(['parked', 'shop.work', '--each', '--key', 'b', '--no-body']);
  expect(rows(each.out)).toMatchObject([{ ID: ids[2], TRIED: '2', KEY: 'b' }]);
  expect(each.out).not.toContain('BODY');
  const json = await run(['parked', 'shop.work', '-o', 'jsonl', '--entry', 'pack']);
  expect(jsonLines(json.out)).toHaveLength(2);
  expect((await run(['parked', 'shop.bills'])).code).toBe(1);
});

test('show prints one message, also a settled one, and rejects an ambiguous id', async () => {
  const parked = await run(['show', ids[2] ?? '', '-o', 'table']);
  expect(parked.code).toBe(0);
  expect(parked.out).toContain(`shop.pack  ${ids[2]}`);
  expect(parked.out.replace(/\s+/g, ' ')).toMatch(/try 2 \d{4}-\S+ \S+ on shop#\w+: connect ECONNREFUSED store:443/);
  expect(parked.err).toContain(`busbar replay shop.work ${ids[2]}`);
  expect(parked.out).toContain('"do": "fail"');
  expect((await run(['show', ids[0] ?? '', '-o', 'table'])).out).toMatch(/shop\.work +settled/);
  const [one = '', other = ''] = ids.slice(1);
  const differAt = one.split('').findIndex((character, at) => character !== other[at]);
  const several = await run(['show', one.slice(0, differAt)]);
  expect(several.code).toBe(64);
  expect(several.err).toContain(`busbar show ${ids[1]}`);
  expect((await run(['show', 'zzz'])).code).toBe(1);
});

test('tail follows new messages until it is interrupted', async () => {
  const going = start(['tail', 'shop', '-o', 'jsonl', '--since', '1h', '--key', 'live']);
  await seller.pack([{ key: 'live', do: 'done' }]);
  await going.until(/"key":"live"/);
  going.child.kill('SIGINT');
  const { code, out } = await going.ended;
  expect(code).toBe(130);
  expect(jsonLines(out)).toMatchObject([{ entry: 'shop.pack', key: 'live', body: { do: 'done' } }]);
  const first = await run(['tail', '-n', '1', '--since', '1h', '--key', 'live']);
  expect(first.code).toBe(0);
  expect(rows(first.out)).toMatchObject([{ KEY: 'live' }]);
});

test('unknown names and wrong arguments exit with 64, and suggest the nearest name', async () => {
  const cases: [string[], RegExp][] = [
    [['peek', 'shop.wrok'], /there is no queue shop\.wrok; the nearest are shop\.work, /],
    [['peek', 'shop.price'], /an entry of the kind request, which waits in no queue/],
    [['instances', 'shopp'], /the nearest is shop/],
    [['stauts'], /there is no verb stauts, the nearest is status/],
    [['queues', '--wide'], /unknown option '--wide'/],
    [['peek'], /missing required argument/],
    [['queues', 'shop.work', '--by', 'size'], /--by size is not one of entry, key, partition, sender, instance/],
    [['queues', '--by', 'key'], /--by counts the messages of one queue; name it/],
    [['-o', 'xml'], /-o xml is not one of table, wide, names, json, jsonl/],
    [['parked', '--since', 'soon'], /--since soon is neither a duration/],
    [['peek', 'shop.work', '-n', '0'], /-n 0 is not a whole number from 1/],
    [['--drain-ms', 'long'], /drainMs = "long" \(--drain-ms\)/],
    [['show'], /^busbar: missing required argument 'id'\nusage: busbar show \[options\] <id>\n$/],
    [['frob'], /^busbar: there is no verb frob; /],
    [['--ns', 'BAD'], /ns = "BAD" \(--ns\)/],
  ];
  const ended = await Promise.all(cases.map(([args]) => run(args)));
  ended.forEach(({ code, out, err }, i) => {
    expect(err).toMatch(cases[i]?.[1] ?? /never/);
    expect({ code, out }).toEqual({ code: 64, out: '' });
  });
});

test('a missing directory exits with 69 and is not created', async () => {
  const away = join(dir, 'away');
  const { code, err } = await run(['--dir', away]);
  expect({ code, there: existsSync(away) }).toEqual({ code: 69, there: false });
  expect(err).toContain(`${away} does not exist`);
});

test('a directory of another user exits with 77', async () => {
  const theirs = join(dir, 'theirs');
  mkdirSync(theirs, { mode: 0o700 });
  if (process.getuid?.() !== 0) return; // only root can try
  const { chownSync } = await import('node:fs');
  chownSync(theirs, 12_345, 12_345);
  const { code, err } = await run(['--dir', theirs]);
  expect(err).toContain('belongs to user 12345');
  expect(code).toBe(77);
});

test('a command that exceeds --timeout exits with 75', async () => {
  expect(await run(['queues', '--timeout', '1ms'])).toMatchObject({ code: 75, out: '' });
});

test('tail exits silently with 0 when its reader closes the pipe', async () => {
  const going = start(['tail', '--since', '1h', '-o', 'jsonl']);
  await going.until(/shop\.pack/);
  going.child.stdout?.destroy();
  await seller.pack([{ key: 'more', do: 'done' }]);
  expect(await going.ended).toMatchObject({ code: 0, err: '' });
});

test.each([40, 80, 120])('on a terminal of %i columns no line is longer, and essential text stays', async (columns) => {
  for (const args of [[], ['queues'], ['instances'], ['parked'], ['show', ids[2] ?? '']]) {
    const { out } = await inTerminal(columns, args).ended;
    const lines = out.split(/\r?\n/).filter((line) => !/^\s+at |busbar replay/.test(line));
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    expect(out.replace(/\s+/g, ' ')).toContain(args.length === 0 ? 'busbar parked shop.work' : 'shop');
  }
});

test('--help lists every verb, and the options of a verb', async () => {
  const { code, out } = await run(['--help']);
  expect(code).toBe(0);
  for (const verb of ['status', 'instances', 'queues', 'peek', 'tail', 'parked', 'show', 'replay', 'drop', 'request']) {
    expect(out).toMatch(new RegExp(`^  ${verb}\\b`, 'm'));
  }
  expect((await run(['replay', '--help'])).out).toContain('--reason-like <text>');
});

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { jsonLines, shopCommand, rows } from '../support/command';
import type { Job } from './shop';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

let k: ReturnType<typeof shopCommand>;
beforeEach(() => {
  k = shopCommand();
});
afterEach(() => k.close());

const jobs = (count: number, what: Job['do']): Job[] =>
  Array.from({ length: count }, (_, n) => ({ key: `k${n}`, do: what }));
const parkedNow = async (): Promise<number> => {
  const { out } = await k.run(['queues', 'shop.work']);
  return Number(rows(out)[0]?.['PARKED']);
};

/** Starts a shop that parks `all` jobs, and ends it unless `stay` is set. */
async function parkedIn(all: readonly Job[], stay = false) {
  const seller = await k.shop();
  const ids = await seller.pack(all);
  await k.eventually(['queues', 'shop.work'], ({ out }) => rows(out)[0]?.['PARKED'] === String(all.length));
  if (!stay) await seller.end();
  return ids;
}

test('replay prints the messages that it affects, needs a confirmation, and sends them again', async () => {
  const ids = await parkedIn([...jobs(2, 'park'), { key: 'z', do: 'fail' }]);
  const asked = await k.run(['replay', 'shop.work', '--all']);
  expect(asked).toMatchObject({ code: 64, out: '' });
  expect(asked.err).toContain('3 messages will be sent to shop.work again');
  expect(asked.err).toContain('without a terminal no confirmation is possible. Pass --yes');
  const dry = await k.run(['replay', 'shop.work', '--reason-like', 'econnrefused', '--dry-run', '-o', 'jsonl']);
  expect(dry.code).toBe(0);
  expect(jsonLines(dry.out)).toMatchObject([{ id: ids[2], state: 'still parked' }]);
  expect(await parkedNow()).toBe(3);

  const went = await k.run(['replay', 'shop.work', '--all', '--yes']);
  expect(went.code).toBe(0);
  expect(
    rows(went.out)
      .map(({ ID, STATE }) => `${ID} ${STATE}`)
      .toSorted(),
  ).toEqual(ids.map((id) => `${id} replayed`).toSorted());
  expect(await parkedNow()).toBe(0);
  const waiting = await k.run(['peek', 'shop.work', '-o', 'jsonl']);
  expect(
    jsonLines(waiting.out)
      .map(({ id, replay }) => `${String(id)} ${String(replay)}`)
      .toSorted(),
  ).toEqual(ids.map((id) => `${id} 1`).toSorted());
  await k.shop({ SHOP_MENDED: 'yes' });
  await k.eventually([], ({ code }) => code === 0); // all of them were handled, and none is parked
  const { out } = await k.run(['show', ids[0] ?? '']);
  expect(out).toMatch(/shop\.work +parked, then replayed \S+ ago by console#\w+\n/);
  expect(out).toMatch(/replayed +once before\n/);
  expect(out).toMatch(/shop\.work +settled\n/);
});

test('replay and drop need a selection of messages, and accept shortened ids', async () => {
  const [id = ''] = await parkedIn(jobs(1, 'park'));
  expect((await k.run(['replay', 'shop.work', '--yes'])).err).toContain(
    'name the messages with ids, --reason-like TEXT or --all',
  );
  expect((await k.run(['replay', 'shop.work', id, '--all', '--yes'])).code).toBe(64);
  expect(await k.run(['replay', 'shop.work', 'zzz', '--yes'])).toMatchObject({ code: 1 });
  expect(await k.run(['drop', 'shop.work', 'zzz', '--yes'])).toMatchObject({ code: 1 });
  expect(await k.run(['replay', 'shop.work', '--reason-like', 'never said', '--yes'])).toMatchObject({ code: 1 });
  expect(await parkedNow()).toBe(1);
  expect(await k.run(['replay', 'shop.pack', id.slice(0, 12), '--yes'])).toMatchObject({ code: 0 });
  expect(await parkedNow()).toBe(0);
});

test('drop exports the messages to a file first, and drops none when it cannot', async () => {
  const ids = await parkedIn(jobs(3, 'park'));
  const refused = await k.run(['drop', 'shop.work', '--all', '--yes', '--export', join(k.dir, 'no', 'such')]);
  expect(refused.err).toContain('nothing was dropped');
  expect(await parkedNow()).toBe(3);
  const { code, err } = await k.run(['drop', 'shop.work', '--all', '--yes', '--reason', 'wrong address']);
  expect(code).toBe(0);
  const [name = ''] = readdirSync(k.dir).filter((file) => /^dropped-.*\.jsonl$/.test(file));
  expect(err).toContain(name);
  const file = join(k.dir, name);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const kept = jsonLines(readFileSync(file, 'utf8'));
  expect(kept.map(({ id }) => String(id)).toSorted()).toEqual([...ids].toSorted());
  expect(kept[0]).toMatchObject({ droppedFor: 'wrong address', reason: 'address unknown', body: { do: 'park' } });
  expect(kept[0]).toMatchObject({ headers: { bus: expect.stringContaining('shop.pack') }, value: expect.any(String) });
  expect(await parkedNow()).toBe(0);
  expect((await k.run(['show', ids[0] ?? ''])).out).toMatch(/parked, then dropped \S+ ago by console#\w+\n/);
});

test('on a terminal drop requires a confirmation, and only yes changes anything', async () => {
  await parkedIn(jobs(1, 'park'));
  const no = k.inTerminal(80, ['drop', 'shop.work', '--all']);
  await no.until(/continue\? \[y\/N\]/);
  no.child.stdin?.write('n\n');
  expect(await no.ended).toMatchObject({ code: 1, out: expect.stringContaining('nothing was changed') });
  expect(await parkedNow()).toBe(1);
  const yes = k.inTerminal(80, ['drop', 'shop.work', '--all']);
  await yes.until(/continue\? \[y\/N\]/);
  yes.child.stdin?.write('y\n');
  expect(await yes.ended).toMatchObject({ code: 0, out: expect.stringContaining('dropped 1 of 1') });
  expect(await parkedNow()).toBe(0);
});

test('^C during a replay leaves each message replayed or parked, and prints how to continue', async () => {
  const many = 3_000;
  const ids = await parkedIn(jobs(many, 'park'));
  const interrupted = {
    INTERRUPTED_AT: 'consume the queue', // in the last line before the first batch
    NODE_OPTIONS: `--require ${join(__dirname, 'interrupt.cjs')}`,
  };
  const replay = ['replay', 'shop.work', '--reason-like', 'unknown', '--yes', '-o', 'jsonl'];
  const { code, out, err } = await k.run(replay, { env: interrupted });
  expect(code).toBe(130);
  const states = jsonLines(out).map(({ state }) => state);
  const replayed = states.filter((state) => state === 'replayed').length;
  expect(states).toHaveLength(many);
  expect(err).toContain(`${replayed} of ${many} are done, ${many - replayed} are still parked; to continue:`);
  expect(err).toContain('busbar replay shop.work --reason-like unknown');
  expect(await parkedNow()).toBe(many - replayed);
  const waiting = await k.run(['queues', 'shop.work']);
  expect(rows(waiting.out)[0]?.['WAITING']).toBe(String(replayed));
  const rest = await k.run(replay);
  expect(rest.code).toBe(0);
  const peeked = await k.run(['peek', 'shop.work', '-n', String(many), '-o', 'jsonl', '--no-body']);
  expect(
    jsonLines(peeked.out)
      .map(({ id }) => String(id))
      .toSorted(),
  ).toEqual([...ids].toSorted()); // each exactly once
});

test('a message that no instance can handle is a critical alarm', async () => {
  const seller = await k.shop();
  await seller.end();
  const sent = await k.run(['submit', 'shop.pack', '{}', '--unchecked', '--key', 'q']);
  expect(sent.code).toBe(0);
  const { code, out } = await k.run([]);
  expect(code).toBe(2);
  expect(rows(out)).toMatchObject([{ WHAT: 'no instance', NEXT: 'busbar peek shop.work' }]);
  const peeked = await k.run(['peek', 'shop.pack', '-o', 'jsonl']); // an entry, although no instance that serves it is running
  expect(jsonLines(peeked.out)).toMatchObject([{ key: 'q', body: {} }]);
});

test('reading commands create no file', async () => {
  const seller = await k.shop();
  const tree = (): string[] => readdirSync(join(k.dir, 'bus'), { recursive: true, encoding: 'utf8' }).toSorted();
  await k.run(['queues']);
  const before = tree();
  for (const args of [[], ['instances'], ['queues'], ['peek', 'shop.bills'], ['parked'], ['show', 'x']])
    await k.run(args);
  expect(tree()).toEqual(before);
  expect(existsSync(join(k.dir, 'bus'))).toBe(true);
  await seller.end();
});

test('forget needs a listener without instances, prints its waiting events, and needs a confirmation', async () => {
  const shop = await k.shop();
  const used = await k.run(['forget', 'shop.index', '--yes']);
  expect([used.code, used.err]).toEqual([3, expect.stringContaining('has members')]);
  await shop.end();
  await k.run(['publish', 'shop.sold', '{"item":"pen"}', '--unchecked']);
  const asked = await k.run(['forget', 'shop.index']);
  expect(asked).toMatchObject({ code: 64, out: '' });
  expect(asked.err).toMatch(/1 event waits for shop\.index, the oldest for \d+/);
  expect(await k.run(['forget', 'shop.index', '--dry-run'])).toMatchObject({ code: 0, out: '' });
  expect((await k.run(['forget', 'shop.work', '--yes'])).err).toContain('there is no named listener shop.work');
  expect(rows((await k.run(['queues'])).out).map(({ QUEUE }) => QUEUE)).toContain('shop.index');
  expect(await k.run(['forget', 'shop.index', '--yes'])).toMatchObject({ code: 0, out: 'FORGOTTEN\nshop.index\n' });
  expect(rows((await k.run(['queues'])).out).map(({ QUEUE }) => QUEUE)).not.toContain('shop.index');
});

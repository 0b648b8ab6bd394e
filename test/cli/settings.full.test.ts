/** Settings by the command: they change a shop that is running in another process, and invalid ones are rejected. */
import { jsonLines, shopCommand, rows } from '../support/command';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

let k: ReturnType<typeof shopCommand>;
beforeEach(() => {
  k = shopCommand();
});
afterEach(() => k.close());

const work = async () => rows((await k.run(['queues', 'shop.work'])).out)[0];

test('a setting pauses a queue, status prints how to end it, and unset resumes it', async () => {
  const seller = await k.shop();
  expect(await k.run(['settings'])).toMatchObject({
    code: 0,
    err: 'nothing is set: configuration and code apply\n',
  });
  const paused = await k.run(['set', 'shop.pack.paused', 'true']);
  expect(rows(paused.out)).toEqual([{ KEY: 'shop.pack.paused', VALUE: 'true', BEFORE: '–', VERSION: '1' }]);
  expect(paused.code).toBe(0);
  await seller.pack(Array.from({ length: 5 }, (_, n) => ({ key: `k${n}`, do: 'done' })));
  await k.eventually(['queues', 'shop.work'], ({ out }) => rows(out)[0]?.['STATE'] === 'paused');
  expect(await work()).toMatchObject({ WAITING: '5', RUNNING: '0', INSTANCES: '1' });
  const { code, out } = await k.run([]);
  expect(code).toBe(1);
  expect(rows(out)).toMatchObject([
    {
      ABOUT: 'shop.work',
      WHAT: 'paused',
      MESSAGE: 'a pause of shop.pack stops its messages; 5 wait in the queue',
      NEXT: 'busbar resume shop.pack',
    },
  ]);
  const unset = await k.run(['unset', 'shop.pack.paused']);
  expect(unset.code).toBe(0);
  expect(rows(unset.out)).toEqual([{ KEY: 'shop.pack.paused', VALUE: '–', BEFORE: 'true', VERSION: '–' }]);
  const fine = await k.eventually([], ({ code: now }) => now === 0);
  expect(rows(fine.out)).toEqual([]);
  expect(fine.err).toMatch(/^main {3}1 module, 1 instance; ✔ 3 queues are caught up\n$/); // the command prints a line although it has no alarm
  expect(await work()).toMatchObject({ STATE: 'caught up' });
});

test('a setting of a named listener uses the name of the listener', async () => {
  await k.shop();
  expect((await k.run(['set', 'shop.index.paused', 'true'])).code).toBe(0);
  await k.run(['publish', 'shop.sold', '{"item":"book"}']);
  const heard = async (): Promise<unknown> =>
    JSON.parse((await k.run(['request', 'shop.price', '{"item":"heard"}'])).out);
  await k.eventually(['queues', 'shop.index'], ({ out }) => rows(out)[0]?.['STATE'] === 'paused');
  expect(await heard()).toEqual({ cents: 0 });
  const next = rows((await k.run([])).out)[0]?.['NEXT'];
  expect(next).toBe('busbar resume shop.index');
  await k.run(['unset', 'shop.index.paused']);
  await k.eventually(['queues', 'shop.index'], ({ out }) => rows(out)[0]?.['STATE'] === 'caught up');
  expect(await heard()).toEqual({ cents: 1 });
});

test('settings prints key, value and version, and a stale version is a Conflict', async () => {
  await k.shop();
  await k.run(['set', 'shop.pack.concurrency', '4']);
  await k.run(['set', 'timeoutMs', '10s']);
  expect(rows((await k.run(['set', 'shop.pack.concurrency', '6', '--was', '1'])).out)).toEqual([
    { KEY: 'shop.pack.concurrency', VALUE: '6', BEFORE: '4', VERSION: '2' },
  ]);
  const stale = await k.run(['set', 'shop.pack.concurrency', '9', '--was', '1']);
  expect(stale).toMatchObject({ code: 3, out: '' });
  expect(stale.err).toContain('setting shop.pack.concurrency has version 2, not 1: another process changed it');
  expect(await k.run(['unset', 'shop.pack.concurrency', '--was', '1'])).toMatchObject({ code: 3 });
  const all = await k.run(['settings']);
  expect(rows(all.out)).toEqual([
    { KEY: 'shop.pack.concurrency', VALUE: '6', VERSION: '2' },
    { KEY: 'timeoutMs', VALUE: '10s', VERSION: '1' },
  ]);
  const some = await k.run(['settings', 'shop.pack', '-o', 'jsonl']);
  expect(jsonLines(some.out)).toEqual([{ key: 'shop.pack.concurrency', value: '6', version: 2, refused: null }]);
  expect(await k.run(['settings', 'shop.bill'])).toMatchObject({ code: 1, err: 'nothing is set of shop.bill\n' });
});

test('a setting that no bus would apply is rejected with the nearest valid one', async () => {
  await k.shop();
  const faults = [
    [['logLvel', 'debug'], 'logLvel is not a live option; did you mean logLevel?'],
    [['shop.pack.concurency', '4'], 'concurency is not a live option; did you mean concurrency?'],
    [['shop.pack.concurrency', '0'], '"0" is below the minimum of 1'],
    [['dir', '/tmp'], 'nothing was set: dir is read only when the bus is opened'],
    [['shop.sold.paused', 'true'], 'shop.sold is an event, which has no settings'],
    [['shop.pakc.concurrency', '4'], 'there is no entry or named listener shop.pakc; the nearest are shop.pack'],
    [['shop.price.attempts', '4'], 'shop.price is a request; its settings are concurrency'],
    [['busbar.status.paused', 'true'], 'there is no entry or named listener busbar.status'],
    [['shop.closing.paused', 'true'], 'shop.closing is a broadcast, which has no settings'],
  ] as const;
  for (const [args, says] of faults) {
    const { code, err, out } = await k.run(['set', ...args]);
    expect({ code, out }).toEqual({ code: 64, out: '' });
    expect(err).toContain(says);
  }
  expect(await k.run(['unset', 'shop.pack.paused'])).toMatchObject({ code: 64 });
  expect((await k.run(['settings'])).out).toBe('KEY\tVALUE\tVERSION\n');
});

test('without a running instance, --unchecked sets it for later instances', async () => {
  await (await k.shop()).end();
  const refused = await k.run(['set', 'shop.pack.paused', 'true']);
  expect(refused.code).toBe(69);
  expect(refused.err).toContain('no instance of shop is running to check it; --unchecked sets it anyway');
  expect((await k.run(['set', 'shop.pack.paused', 'true', '--unchecked'])).code).toBe(0);
  const seller = await k.shop();
  await seller.pack([{ key: 'a', do: 'done' }]);
  await k.eventually(['queues', 'shop.work'], ({ out }) => rows(out)[0]?.['STATE'] === 'paused');
});

import { isBusError } from '../../src/index';
import { shop } from './contract';
import { openScene, type Scene } from './processes';

let scene: Scene;
beforeEach(() => (scene = openScene()));
afterEach(() => scene.close());
jest.setTimeout(60_000);

test('a request goes to another process and its reply comes back', async () => {
  const { instance } = await scene.start();
  const bus = await scene.open('web');
  expect(await bus.request(shop.who)).toBe(instance);
});

test('a request to an instance that dies ends in ResponderLost within a second, and names it', async () => {
  const { instance, kill } = await scene.start();
  const bus = await scene.open('web');
  const asked = bus.tryRequest(shop.hang, { file: 'a' });
  await scene.until(() => scene.ledger().includes('hang a'), 5_000);
  const before = performance.now();
  kill('SIGKILL');
  expect(await asked).toMatchObject({ ok: false, error: { code: 'ResponderLost', details: { instance } } });
  expect(performance.now() - before).toBeLessThan(1_000);
});

test('an idempotent request to an instance that dies is answered by another one', async () => {
  const bus = await scene.open('web');
  const first = await scene.start('hangs');
  const asked = bus.request(shop.hangAgain, { file: 'a' });
  await scene.until(() => scene.ledger().includes('again a'), 5_000);
  const second = await scene.start();
  first.kill('SIGKILL');
  expect(await asked).toBe(second.instance);
});

test('taking a request back aborts the signal in the other process, and so does its deadline', async () => {
  await scene.start();
  const bus = await scene.open('web');
  const stop = new AbortController();
  const taken = bus.tryRequest(shop.hang, { file: 'a' }, { signal: stop.signal });
  await scene.until(() => scene.ledger().includes('hang a'), 5_000);
  stop.abort();
  expect(await taken).toMatchObject({ error: { code: 'Cancelled' } });
  await scene.until(() => scene.ledger().includes('aborted Cancelled'), 1_000);
  expect(await bus.tryRequest(shop.hang, { file: 'b' }, { timeoutMs: 300 })).toMatchObject({
    error: { code: 'Timeout' },
  });
  await scene.until(() => scene.ledger().includes('aborted Timeout'), 1_000);
});

test('a death costs each caller one typed error at most, and requests go on at the others', async () => {
  const shops = [await scene.start(), await scene.start(), await scene.start()];
  const bus = await scene.open('web');
  const codes = new Map<string, number>();
  let stop = false;
  const load = async (): Promise<void> => {
    while (!stop) {
      const result = await bus.tryRequest(shop.slow, { ms: 2 });
      const code = result.ok ? 'ok' : result.error.code;
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
  };
  const loads = Array.from({ length: 20 }, load);
  await scene.until(() => (codes.get('ok') ?? 0) > 200, 10_000);
  shops[0]?.kill('SIGKILL');
  const before = codes.get('ok') ?? 0;
  await scene.until(() => (codes.get('ok') ?? 0) > before + 500, 10_000);
  stop = true;
  await Promise.all(loads);
  expect([...codes.keys()].filter((code) => code !== 'ok' && code !== 'ResponderLost')).toEqual([]);
  expect(codes.get('ResponderLost') ?? 0).toBeLessThanOrEqual(20);
});

test('instances that leave one after the other under load lose no request', async () => {
  const bus = await scene.open('web');
  let shops = [await scene.start(), await scene.start()];
  const failures: string[] = [];
  let answered = 0;
  let stop = false;
  const load = async (): Promise<void> => {
    while (!stop) {
      const result = await bus.tryRequest(shop.slow, { ms: 3 });
      if (result.ok) answered++;
      else failures.push(`${result.error.code}: ${result.error.message}`);
    }
  };
  const loads = Array.from({ length: 20 }, load);
  for (let round = 0; round < 4; round++) {
    const next = await scene.start();
    const [leaver, ...stay] = shops;
    const before = answered;
    leaver?.kill('SIGTERM');
    expect(await leaver?.ended).toBe(0);
    await scene.until(() => answered > before + 100, 10_000);
    shops = [...stay, next];
  }
  stop = true;
  await Promise.all(loads);
  expect(failures).toEqual([]);
});

test('work accepted by one process is handled by another that starts later', async () => {
  const bus = await scene.open('web');
  for (let n = 0; n < 50; n++) await bus.submit(shop.pack, { order: `o${n % 5}`, n });
  await scene.start();
  await scene.until(() => scene.ledger().filter((line) => line.startsWith('packed')).length === 50, 10_000);
  for (const order of ['o0', 'o1', 'o2', 'o3', 'o4']) {
    const numbers = scene
      .ledger()
      .filter((line) => line.startsWith(`packed ${order} `))
      .map((line) => Number(line.split(' ')[2]));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
});

test('a worker killed -9 under load loses no job, and repeats none that was committed', async () => {
  const bus = await scene.open('web');
  const [first] = [await scene.start(), await scene.start()];
  const jobs = Array.from({ length: 6_000 }, (_, n) => ({ order: `o${n % 200}`, n }));
  await bus.submitAll(shop.pack, jobs);
  const packed = () => scene.lines().filter(({ text }) => text.startsWith('packed'));
  const old = (): boolean =>
    packed().filter(({ pid, atMs }) => pid === first?.pid && atMs < Date.now() - 1_200).length > 60;
  await scene.until(old, 20_000);
  const killedMs = Date.now();
  first?.kill('SIGKILL');
  await scene.until(() => new Set(packed().map(({ text }) => text)).size === jobs.length, 30_000);
  const others = new Set(
    packed()
      .filter(({ pid }) => pid !== first?.pid)
      .map(({ text }) => text),
  );
  // Commits are made every 500 ms; twice that leaves room for one that was under way.
  const committed = packed().filter(({ pid, atMs }) => pid === first?.pid && atMs < killedMs - 1_000);
  expect(committed.length).toBeGreaterThan(50);
  expect(committed.filter(({ text }) => others.has(text))).toEqual([]);
});

test('the partitions of a worker that was killed are worked on by others within 3 s', async () => {
  const bus = await scene.open('web');
  const [first, second] = [await scene.start(), await scene.start()];
  const send = (round: number) =>
    bus.submitAll(
      shop.pack,
      Array.from({ length: 100 }, (_, n) => ({ order: `o${n}`, n: round })),
    );
  const done = (round: number): number =>
    scene.ledger().filter((text) => text.startsWith('packed') && text.endsWith(` ${round}`)).length;
  await send(1);
  await scene.until(() => done(1) === 100, 10_000);
  expect(new Set(scene.lines().map(({ pid }) => pid))).toEqual(new Set([first?.pid, second?.pid]));
  first?.kill('SIGKILL');
  await send(2);
  expect(await scene.until(() => done(2) === 100, 10_000)).toBeLessThan(3_000);
});

test('a broadcast reaches every process that is up, and an event every one that listens', async () => {
  await scene.start();
  await scene.start();
  const bus = await scene.open('web');
  const heard: string[] = [];
  await bus.listen(shop.sold, ({ order }) => void heard.push(order));
  await bus.broadcast(shop.shut, { n: 7 });
  await scene.until(() => scene.ledger().filter((line) => line === 'shut 7').length === 2, 2_000);
  const other = await scene.open('till');
  await other.publish(shop.sold, { order: 'o1' });
  await scene.until(() => heard.length > 0, 2_000);
  expect(heard).toEqual(['o1']);
});

test('no instance is asked after its death is known', async () => {
  const bus = await scene.open('web');
  const { kill, ended } = await scene.start();
  await bus.request(shop.who);
  kill('SIGKILL');
  await ended;
  await scene.until(() => bus.instances(shop).length === 0, 1_000);
  const error = await bus.request(shop.who).catch((thrown: unknown) => thrown);
  expect(isBusError(error, 'NoHandler')).toBe(true);
});

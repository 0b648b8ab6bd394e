import { join } from 'node:path';
import { isBusError } from '../../src/index';
import { livedMs, quickest } from '../elapsed';
import { shop } from './contract';
import { placeFaults } from './places';
import { openScene, tickMs, type Note, type Scene } from './processes';

let scene: Scene;
beforeEach(() => (scene = openScene()));
afterEach(() => scene.close());
jest.setTimeout(240_000);

test('a request is sent to another process and its reply returns', async () => {
  const { instance } = await scene.start();
  const bus = await scene.open('web');
  expect(await bus.request(shop.who)).toBe(instance);
});

test('a request to an instance that dies ends in ResponderLost within a second', async () => {
  const { instance, kill, ended } = await scene.start();
  const bus = await scene.open('web');
  const asked = bus.tryRequest(shop.hang, { file: 'a' });
  await scene.until(() => scene.ledger().includes('hang a'));
  kill('SIGKILL');
  await ended;
  expect(await livedMs(asked)).toBeLessThan(1_000);
  expect(await asked).toMatchObject({ ok: false, error: { code: 'ResponderLost', details: { instance } } });
});

test('submit and flush resolve with the places of the messages in the log', async () => {
  const given = { module: 'look', dir: join(scene.dir, 'bus'), ns: 'test' };
  expect(await placeFaults(await scene.open('web'), given)).toEqual([]);
});

test('an idempotent request to an instance that dies is answered by another one', async () => {
  const bus = await scene.open('web');
  const first = await scene.start('hangs');
  const asked = bus.request(shop.hangAgain, { file: 'a' });
  await scene.until(() => scene.ledger().includes('again a'));
  const second = await scene.start();
  first.kill('SIGKILL');
  expect(await asked).toBe(second.instance);
});

test('cancelling a request, or its deadline, aborts the signal in the other process', async () => {
  await scene.start();
  const bus = await scene.open('web');
  const stop = new AbortController();
  const taken = bus.tryRequest(shop.hang, { file: 'a' }, { signal: stop.signal });
  await scene.until(() => scene.ledger().includes('hang a'));
  stop.abort();
  expect(await taken).toMatchObject({ error: { code: 'Cancelled' } });
  await scene.until(() => scene.ledger().includes('aborted Cancelled'));
  // On a busy machine the first deadline can pass before the handler is called.
  for (const timeoutMs of [300, 3_000, 30_000]) {
    if (scene.ledger().includes('hang b')) break;
    expect(await bus.tryRequest(shop.hang, { file: 'b' }, { timeoutMs })).toMatchObject({ error: { code: 'Timeout' } });
  }
  await scene.until(() => scene.ledger().includes('aborted Timeout'));
});

test('a crash costs each caller at most one ResponderLost, and other instances answer', async () => {
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
  await scene.until(() => (codes.get('ok') ?? 0) > 200);
  shops[0]?.kill('SIGKILL');
  const before = codes.get('ok') ?? 0;
  await scene.until(() => (codes.get('ok') ?? 0) > before + 500);
  stop = true;
  await Promise.all(loads);
  expect([...codes.keys()].filter((code) => code !== 'ok' && code !== 'ResponderLost')).toEqual([]);
  expect(codes.get('ResponderLost') ?? 0).toBeLessThanOrEqual(20);
});

test('instances that leave in turn under load lose no request', async () => {
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
    await scene.until(() => answered > before + 100);
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
  await scene.until(() => scene.ledger().filter((line) => line.startsWith('packed')).length === 50);
  for (const order of ['o0', 'o1', 'o2', 'o3', 'o4']) {
    const numbers = scene
      .ledger()
      .filter((line) => line.startsWith(`packed ${order} `))
      .map((line) => Number(line.split(' ')[2]));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  }
});

test('a worker killed -9 under load loses no job and repeats no committed one', async () => {
  const bus = await scene.open('web');
  const [first] = [await scene.start('ticks'), await scene.start()];
  const jobs = Array.from({ length: 6_000 }, (_, n) => ({ order: `o${n % 200}`, n }));
  await bus.submitAll(shop.pack, jobs);
  const packed = () => scene.lines().filter(({ text }) => text.startsWith('packed'));
  // Commits are made every 500 ms. Twice that, in the time of the process itself, leaves room for a pending one.
  const committed = (): Note[] => {
    const own = scene.lines().filter(({ pid }) => pid === first?.pid);
    const tick = own.filter(({ text }) => text === 'tick').at(-1_000 / tickMs);
    return tick ? own.slice(0, own.indexOf(tick)).filter(({ text }) => text.startsWith('packed')) : [];
  };
  await scene.until(() => committed().length > 60);
  first?.kill('SIGKILL');
  await first?.ended;
  const before = committed();
  await scene.until(() => new Set(packed().map(({ text }) => text)).size === jobs.length);
  const others = new Set(
    packed()
      .filter(({ pid }) => pid !== first?.pid)
      .map(({ text }) => text),
  );
  expect(before.length).toBeGreaterThan(50);
  expect(before.filter(({ text }) => others.has(text))).toEqual([]);
});

test('other instances take over the partitions of a killed worker within 3 s', async () => {
  const bus = await scene.open('web');
  let sent = 0;
  const send = () => {
    sent++;
    const jobs = Array.from({ length: 100 }, (_, n) => ({ order: `o${n}`, n: sent }));
    return bus.submitAll(shop.pack, jobs);
  };
  const done = (): boolean => {
    const packed = scene.ledger().filter((text) => text.startsWith('packed') && text.endsWith(` ${sent}`));
    return new Set(packed).size === 100;
  };
  const shares = (pid: number) => scene.lines().some((line) => line.pid === pid && line.text.startsWith('packed'));
  await scene.start();
  const takenOverMs = async (): Promise<number> => {
    const victim = await scene.start();
    while (!shares(victim.pid) && sent < 100) {
      await send();
      await scene.until(done);
    }
    victim.kill('SIGKILL');
    await victim.ended;
    await send();
    return livedMs(scene.until(done));
  };
  expect(await quickest(3_000, takenOverMs)).toBeLessThan(3_000);
});

test('a broadcast reaches every running process, and an event every listening one', async () => {
  await scene.start();
  await scene.start();
  const bus = await scene.open('web');
  const heard: string[] = [];
  await bus.listen(shop.sold, ({ order }) => void heard.push(order));
  await bus.broadcast(shop.shut, { n: 7 });
  await scene.until(() => scene.ledger().filter((line) => line === 'shut 7').length === 2);
  const other = await scene.open('till');
  await other.publish(shop.sold, { order: 'o1' });
  await scene.until(() => heard.length > 0);
  expect(heard).toEqual(['o1']);
});

test('no request is sent to an instance that is known to be dead', async () => {
  const bus = await scene.open('web');
  const { kill, ended } = await scene.start();
  await bus.request(shop.who);
  kill('SIGKILL');
  await ended;
  await scene.until(() => bus.instances(shop).length === 0);
  const error = await bus.request(shop.who).catch((thrown: unknown) => thrown);
  expect(isBusError(error, 'NoHandler')).toBe(true);
});

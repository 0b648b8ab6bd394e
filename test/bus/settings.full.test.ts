/**
 * Settings between processes of one machine: a running process applies a change, and a process starts without settings.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect, type Inspection } from '../../src/inspect';
import { livedMs, quickest } from '../elapsed';
import { shop } from './contract';
import { openScene, type Scene } from './processes';

jest.setTimeout(240_000);

let scene: Scene;
let inspection: Inspection | undefined;
beforeEach(() => {
  scene = openScene();
});
afterEach(async () => {
  await inspection?.close();
  inspection = undefined;
  await scene.close();
});

const orders = (count: number) => Array.from({ length: count }, (_, n) => ({ order: `o${n}`, n }));
const lines = (start: string): number => scene.ledger().filter((line) => line.startsWith(start)).length;

test('a running process applies a setting within a second, and a restarted one keeps it', async () => {
  const first = await scene.start();
  const bus = await scene.open('web');
  inspection = await inspect({ dir: join(scene.dir, 'bus'), ns: 'test' });
  const { settings, inspector } = inspection;
  const paused = async (): Promise<boolean> => (await inspector.queues(['shop.work']))[0]?.paused[0] === 'shop.pack';
  let version = 0;
  const set = async (value: 'true' | 'false'): Promise<void> => {
    version = await settings.set('shop.pack.paused', value, version);
    const obeys = async (): Promise<void> => {
      while ((await paused()) !== (value === 'true'));
    };
    obeyedMs = await livedMs(obeys());
  };
  let obeyedMs = Infinity;
  const round = async (n: number): Promise<number> => {
    if (n > 1) await set('false');
    await set('true');
    return obeyedMs;
  };
  expect(await quickest(1_000, round)).toBeLessThan(1_000);
  await bus.submitAll(shop.pack, orders(20));
  first.kill('SIGKILL');
  await scene.start();
  await new Promise((resolve) => setTimeout(resolve, 1_500)); // the assertion is that no job starts
  expect(lines('pack ')).toBe(0);
  await settings.set('shop.pack.paused', null, version);
  await scene.until(() => lines('packed ') === 20);
  expect(lines('pack ')).toBe(20);
});

test('a timeout setting changes the deadline of a running caller', async () => {
  await scene.start();
  const bus = await scene.open('web');
  inspection = await inspect({ dir: join(scene.dir, 'bus'), ns: 'test' });
  const applied = new Promise<void>((resolve) => bus.watch(({ type }) => type === 'setting' && resolve()));
  await inspection.settings.set('shop.hang.timeoutMs', '300ms', 0);
  await applied;
  expect(await bus.tryRequest(shop.hang, { file: 'a' })).toMatchObject({
    error: { code: 'Timeout', details: { timeoutMs: 300 } },
  });
});

test('a bus with damaged settings rejects openBus and names the file', async () => {
  const bus = await scene.open('web');
  inspection = await inspect({ dir: join(scene.dir, 'bus'), ns: 'test' });
  await inspection.settings.set('timeoutMs', '1s', 0);
  await inspection.close();
  inspection = undefined;
  await bus.close();
  const folder = join(scene.dir, 'bus', 'settings');
  for (const name of readdirSync(folder)) writeFileSync(join(folder, name), '[{"key":');
  await expect(scene.open('web')).rejects.toMatchObject({
    code: 'Config',
    message: expect.stringMatching(
      /bus\/settings\/1 is damaged .*\. Correct it, or remove it to use the previous settings/,
    ),
  });
});

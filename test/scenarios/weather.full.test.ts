import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBus } from 'busbar';
import { faults, run, type Arrangement } from '../../modules/weather/run';
import { built, needBuild } from './site';

jest.setTimeout(240_000);
const messages = 120;
const stations = 24;
let dir: string;
beforeAll(needBuild);
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bb-weather-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

async function arrange(arrangement: Arrangement) {
  await using bus = await openBus({ log: false, module: 'weatherwatch', dir });
  const env = { ...process.env, BUSBAR_DIR: dir };
  return await run(bus, arrangement, { folder: built, env, messages, stations, withinMs: 100_000 });
}

test('a single reader receives every temperature in the order of its station', async () => {
  const readers = await arrange('one reader');
  expect(readers.map(({ as, got }) => [as, got.length])).toEqual([['daily', messages]]);
  expect(faults(readers, messages)).toEqual([]);
  const first = readers[0]?.got.filter(({ station }) => station === 'station-0') ?? [];
  expect(first.map(({ n }) => n)).toEqual([0, 24, 48, 72, 96]);
  const mean = first.reduce((sum, { celsius }) => sum + celsius, 0) / first.length;
  expect(first.at(-1)?.average).toBeCloseTo(mean);
});

test('three readers with separate names each receive every temperature', async () => {
  const readers = await arrange('three readers, each its own name');
  expect(Object.fromEntries(readers.map(({ as, got }) => [as, got.length]))).toEqual({
    daily: messages,
    weekly: messages,
    monthly: messages,
  });
  expect(faults(readers, messages)).toEqual([]);
});

test('three readers sharing a name receive every temperature once together', async () => {
  const readers = await arrange('three readers sharing a name');
  expect(readers).toHaveLength(3);
  expect(readers.reduce((sum, { got }) => sum + got.length, 0)).toBe(messages);
  expect(faults(readers, messages)).toEqual([]);
});

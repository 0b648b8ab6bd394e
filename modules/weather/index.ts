/** `node build/modules/weather`: temperatures to one reader, to three with a name each, and to three that share one. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { arrangements, faults, openWatcher, run, type Arrangement, type Reader } from './run';

const messages = 300;
const stations = 24;

function show(arrangement: string, readers: readonly Reader[]): void {
  console.log(`\n${arrangement}: ${messages} temperatures of ${stations} stations`);
  for (const { name, as, got } of readers) {
    const mean = got.reduce((sum, { celsius }) => sum + celsius, 0) / got.length;
    const read = new Set(got.map(({ station }) => station)).size;
    const count = `${String(got.length).padStart(4)} from ${String(read).padStart(2)} stations`;
    console.log(`  ${name} as '${as}': ${count}, ${mean.toFixed(2)} °C`);
  }
}

async function arrange(arrangement: Arrangement): Promise<boolean> {
  const directory = await mkdtemp(join(tmpdir(), 'busbar-weather-'));
  process.env['BUSBAR_DIR'] = directory;
  try {
    await using bus = await openWatcher();
    const options = { folder: dirname(__dirname), env: process.env, messages, stations, withinMs: 20_000 };
    const readers = await run(bus, arrangement, options);
    show(arrangement, readers);
    const wrong = faults(readers, messages);
    for (const fault of wrong) console.log(`  WRONG: ${fault}`);
    return wrong.length === 0;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function main(): Promise<void> {
  for (const arrangement of Object.keys(arrangements) as Arrangement[]) {
    if (!(await arrange(arrangement))) process.exitCode = 1;
  }
}
void main();

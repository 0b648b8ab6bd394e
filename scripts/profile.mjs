// npm run profile -- SCENARIO [options of bench]: runs a benchmark, writes a CPU profile of each of its processes, and
// prints the heaviest functions of each. The times of a profiled run are not comparable with those of others.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const functionsMax = 10;
const args = process.argv.slice(2);
if (args.length === 0 || args[0].startsWith('-')) {
  console.error('usage: npm run profile -- SCENARIO [--transport embedded|kafka] [--subjects a,b] [--rounds N]');
  process.exit(64);
}
if (!existsSync('build/test/bench/profiled.js')) {
  const { status } = spawnSync(process.execPath, ['scripts/build.mjs'], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) process.exit(status ?? 1);
}
const folder = resolve('build/profiles', new Date().toISOString().replaceAll(':', '-').slice(0, 19));
mkdirSync(folder, { recursive: true });
const NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ''} --require ${resolve('build/test/bench/profiled.js')}`;
const rounds = args.join('=').includes('--rounds') ? [] : ['--rounds', '3'];
const bench = spawn(process.execPath, ['scripts/bench.mjs', ...args, ...rounds], {
  stdio: 'inherit',
  env: { ...process.env, NODE_OPTIONS, BENCH_PROFILES: folder },
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => bench.kill(signal));
const status = await new Promise((ended) => bench.once('exit', (code) => ended(code ?? 1)));

for (const name of readdirSync(folder).toSorted()) {
  const { all, heaviest } = weigh(JSON.parse(readFileSync(join(folder, name), 'utf8')));
  console.log(`\n${join(folder, name)}: ${Math.round(all / 1_000)} ms of CPU`);
  for (const [where, us] of heaviest) {
    console.log(`${((100 * us) / all).toFixed(1).padStart(6)} %  ${where}`);
  }
}
console.log('\nChrome opens the files: DevTools, Performance, Load profile.');
process.exit(status);

/** Returns the time of each function without that of the functions that it called, in µs. */
function weigh({ nodes, samples, timeDeltas }) {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map();
  samples.forEach((id, n) => {
    const { functionName, url, lineNumber } = frames.get(id);
    if (functionName === '(idle)') return;
    const file = url.replace(/^file:\/\//, '').replace(`${process.cwd()}/`, '');
    const where = `${functionName || '(anonymous)'}${file ? ` ${file}:${lineNumber + 1}` : ''}`;
    times.set(where, (times.get(where) ?? 0) + timeDeltas[n]);
  });
  const all = [...times.values()].reduce((sum, us) => sum + us, 0);
  return { all, heaviest: [...times].toSorted(([, a], [, b]) => b - a).slice(0, functionsMax) };
}

// Builds if there is no build, starts Kafka and ZooKeeper for a bench that needs them, and runs it with the arguments.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';

const args = process.argv.slice(2);
const peers = 'test/bench/peers';

function run(command, given, options = {}) {
  const { status } = spawnSync(command, given, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
  if (status !== 0) process.exit(status ?? 1);
}
function say(progress) {
  process.stderr.write(`${progress}\n`);
}

if (!existsSync('build/test/bench/main.js')) run(process.execPath, ['scripts/build.mjs']);

let cluster;
let bench;
let isOver = false;
for (const signal of ['SIGINT', 'SIGTERM'])
  process.on(signal, () => {
    isOver = true;
    bench?.kill(signal);
  });

if (args.join('=').includes('--transport=kafka')) {
  const subjects = args.join('=').match(/--subjects=([^=]*)/)?.[1] ?? 'nest-kafka';
  if (subjects.split(',').includes('nest-kafka') && !existsSync(`${peers}/node_modules`)) {
    say(`${peers}: installing what busbar is compared with`);
    run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: peers });
  }
  if (!process.env.KAFKA_BROKERS) {
    const require = createRequire(import.meta.url);
    require('../test/register.cjs');
    const { startCluster } = require('../test/cluster/cluster.ts');
    cluster = await startCluster({ brokers: 1, zookeeper: true });
    Object.assign(process.env, { KAFKA_BROKERS: cluster.brokers, ZOOKEEPER: cluster.zookeeper });
  }
}

/** Freezes or thaws the broker for a scenario. Resolves with the reason if it cannot. */
async function control(what) {
  if (!cluster) return 'the brokers of KAFKA_BROKERS cannot be frozen: leave it out, so that the bench starts its own';
  try {
    await (what === 'freeze' ? cluster.broker(1).freeze() : cluster.broker(1).thaw());
  } catch (error) {
    return String(error);
  }
}

const status = isOver
  ? 130
  : await new Promise((resolve) => {
      const stdio = ['inherit', 'inherit', 'inherit', 'ipc'];
      bench = spawn(process.execPath, ['build/test/bench/main.js', ...args], { stdio });
      bench.on('message', (what) => control(what).then((error) => bench.send({ error })));
      bench.once('exit', (code) => resolve(code ?? 1));
    });
await cluster?.close();
process.exit(status);

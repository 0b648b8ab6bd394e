// npm run cluster -- [--brokers N] [--kafka 4.1|3.9]: runs Kafka and ZooKeeper until Ctrl-C, and prints their addresses.
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const usage = 'usage: npm run cluster -- [--brokers 1 to 9] [--kafka 4.1|3.9]';
const { brokers, kafka } = readArguments();

const require = createRequire(import.meta.url);
require('../test/register.cjs');
const { startCluster } = require('../test/cluster/cluster.ts');
const cluster = await startCluster({ brokers: Number(brokers), kafka, zookeeper: true });
console.log(`KAFKA_BROKERS=${cluster.brokers}\nZOOKEEPER=${cluster.zookeeper}`); // the variables of the tests
console.log(`BUSBAR_TRANSPORT=kafka BUSBAR_BROKERS=${cluster.brokers} BUSBAR_ZOOKEEPER=${cluster.zookeeper} npm start`);
const hold = setInterval(() => undefined, 2 ** 30);
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    clearInterval(hold);
    void cluster.close();
  });

function readArguments() {
  try {
    const { values } = parseArgs({ options: { brokers: { type: 'string' }, kafka: { type: 'string' } } });
    const { brokers = '3', kafka = '4.1' } = values;
    if (!/^[1-9]$/.test(brokers)) throw new Error(`--brokers ${brokers} is not a number from 1 to 9`);
    if (!['4.1', '3.9'].includes(kafka)) throw new Error(`--kafka ${kafka} is neither 4.1 nor 3.9`);
    return { brokers, kafka };
  } catch (error) {
    console.error(`${error.message}\n${usage}`);
    process.exit(64);
  }
}

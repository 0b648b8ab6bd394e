// npm run cluster -- [--brokers N] [--kafka 4.1|3.9]: keeps Kafka and ZooKeeper up until Ctrl-C, and says where.
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';

const require = createRequire(import.meta.url);
require('../test/register.cjs');
const { startCluster } = require('../test/cluster/cluster.ts');

const { values } = parseArgs({ options: { brokers: { type: 'string' }, kafka: { type: 'string' } } });
const { brokers = '3', kafka = '4.1' } = values;
const cluster = await startCluster({ brokers: Number(brokers), kafka, zookeeper: true });
console.log(`KAFKA_BROKERS=${cluster.brokers}\nZOOKEEPER=${cluster.zookeeper}`);
const hold = setInterval(() => undefined, 2 ** 30);
for (const signal of ['SIGINT', 'SIGTERM'])
  process.once(signal, () => {
    clearInterval(hold);
    void cluster.close();
  });

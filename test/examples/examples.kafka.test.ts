/** The examples that need Kafka and ZooKeeper. */
import { join } from 'node:path';
import { kafkaJars } from '../cluster/jars';
import { kafkaSuite, type KafkaSuite } from '../cluster/suite';
import { needBuild, root } from '../scenarios/site';
import { start, startProgram, type Program } from './program';

const programs: Program[] = [];
afterEach(() => {
  for (const program of programs.splice(0)) program.kill();
});
/** Starts an example on the cluster of the suite. */
function onKafka({ cluster, namespace }: KafkaSuite, script: string): Program {
  const program = startProgram([script], {
    BUSBAR_TRANSPORT: 'kafka',
    BUSBAR_BROKERS: cluster.brokers,
    BUSBAR_ZOOKEEPER: cluster.zookeeper,
    BUSBAR_NS: namespace,
  });
  programs.push(program);
  return program;
}

kafkaSuite('the example kafka', (suite) => {
  beforeAll(needBuild, 240_000);

  test('stores its jobs on the brokers', async () => {
    const lines = await onKafka(suite, 'kafka/main.js').ended;
    const images = ['alps', 'sea', 'city'];
    const expected = images.flatMap((image) => [`stored ${image}: broker`, `scaled ${image}`]);
    expect(lines.toSorted()).toEqual([...expected, 'count: 3'].toSorted());
  });
});

kafkaSuite(
  'the example external-producer',
  (suite) => {
    beforeAll(needBuild, 240_000);

    test('handles the jobs that a Java program submits', async () => {
      const press = onKafka(suite, 'external-producer/main.js');
      await press.printed('ready');
      const jars = await kafkaJars('4.1');
      const source = join(root, 'examples', 'external-producer', 'SubmitJob.java');
      const submit = async (document: string, copies: string): Promise<readonly string[]> => {
        const args = ['-cp', `${jars}/*`, source, suite.cluster.brokers, suite.namespace, document, copies];
        const program = start('java', args);
        programs.push(program);
        return program.ended;
      };
      expect(await submit('handbook', '2')).toEqual(['submitted handbook']);
      await press.printed('printed handbook 2 times for java');
      expect(await submit('poster', '30')).toEqual(['submitted poster']);
      const lines = ['ready', 'printed handbook 2 times for java', 'printed poster 30 times for java'];
      expect(await press.ended).toEqual(lines);
    });
  },
  { tools: true },
);

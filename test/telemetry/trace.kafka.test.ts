/** Spans of two processes on Kafka, exported by the SDK of OpenTelemetry. */
import { kafkaSuite } from '../cluster/suite';
import { chainOfUpload, expectedChain } from './trace-scene';

kafkaSuite('spans on Kafka', (suite) => {
  test('a request that submits a job that publishes an event is one trace in two processes', async () => {
    const { brokers, zookeeper } = suite.cluster;
    const chain = await chainOfUpload({
      transport: 'kafka',
      brokers: brokers.split(','),
      zookeeper,
      ns: suite.namespace,
    });
    expect(chain.map(({ process, name }) => `${process}: ${name}`)).toEqual(expectedChain);
    expect(new Set(chain.map(({ traceId }) => traceId)).size).toBe(1);
  });
});

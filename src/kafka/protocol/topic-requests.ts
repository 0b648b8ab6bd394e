/** Encodes requests that create, delete and change topics and read settings. Decodes their responses. */
import { apiRequest, type ApiRequest, type ResponseReader } from './request';
import { Writer } from './primitives';
import { errorOf, type KafkaError } from './errors';
import type { NewTopic, TopicResult, TopicConfigs } from './types';

export function createTopics(topics: readonly NewTopic[], timeoutMs: number): ApiRequest<TopicResult[]> {
  const body = new Writer().list(topics, (topic, writer) => {
    writer.text(topic.name).i32(topic.partitions).i16(topic.replicas).i32(0);
    writer.list(Object.entries(topic.configs), ([name, value]) => writer.text(name).text(value));
  });
  return apiRequest('CreateTopics', 19, 4, body.i32(timeoutMs).bool(false), (answer) =>
    answer.throttle().list((one) => {
      const [topic, number] = [one.text(), one.i16()];
      return { topic, error: errorOf(number, topic, one.textOrNull(), 'Create') };
    }),
  );
}

export function deleteTopics(topics: readonly string[], timeoutMs: number): ApiRequest<TopicResult[]> {
  const body = new Writer().list(topics, (name, writer) => writer.text(name)).i32(timeoutMs);
  return apiRequest('DeleteTopics', 20, 3, body, (answer) =>
    answer.throttle().list((one) => {
      const topic = one.text();
      return { topic, error: errorOf(one.i16(), topic, null, 'Delete') };
    }),
  );
}

export function createPartitions(topic: string, partitions: number, timeoutMs: number): ApiRequest<void> {
  const body = new Writer().list([topic], (name, writer) =>
    writer
      .text(name)
      .i32(partitions)
      .list(null, () => {}),
  );
  return apiRequest('CreatePartitions', 37, 1, body.i32(timeoutMs).bool(false), (answer) => {
    for (const error of answer.throttle().list(readRefusal)) if (error) throw error;
  });
}
function readRefusal(answer: ResponseReader): KafkaError | null {
  const [topic, number] = [answer.text(), answer.i16()];
  return errorOf(number, topic, answer.textOrNull(), 'Alter');
}

/** Kafka's resource type of a topic in requests about settings. */
const ofTopic = 2;
export function describeTopicConfigs(topics: readonly string[]): ApiRequest<TopicConfigs[]> {
  const body = new Writer().list(topics, (name, writer) => writer.i8(ofTopic).text(name).i32(-1)).bool(false);
  return apiRequest('DescribeConfigs', 32, 2, body, (answer) =>
    answer.throttle().list((one) => {
      const [number, brokerMessage] = [one.i16(), one.textOrNull()];
      one.i8();
      const topic = one.text();
      return {
        topic,
        error: errorOf(number, topic, brokerMessage, 'DescribeConfigs'),
        configs: Object.fromEntries(one.list(readConfig)),
      };
    }),
  );
}
const ofBroker = 4;
/** Encodes a request for these settings of a broker. It must be sent to that broker. */
export function describeBrokerConfigs(
  node: number,
  names: readonly string[],
): ApiRequest<Readonly<Record<string, string>>> {
  const body = new Writer().list([node], (one, writer) =>
    writer
      .i8(ofBroker)
      .text(`${one}`)
      .list(names, (name, inner) => inner.text(name)),
  );
  return apiRequest('DescribeConfigs', 32, 2, body.bool(false), (answer) => {
    const [found = {}] = answer.throttle().list((one) => {
      const refusal = errorOf(one.i16(), `broker ${node}`, one.textOrNull(), 'DescribeConfigs');
      if (refusal) throw refusal;
      one.i8();
      one.text();
      return Object.fromEntries(one.list(readConfig).map(([name, { value }]) => [name, value]));
    });
    return found;
  });
}
/** Kafka's config source of a value that is set on the topic itself. */
const setForTopic = 1;
function readConfig(answer: ResponseReader): [string, { value: string; isDefault: boolean }] {
  const [name, value] = [answer.text(), answer.text()];
  answer.bool(); // read-only
  const isDefault = answer.i8() !== setForTopic;
  answer.bool(); // sensitive
  answer.list((one) => [one.text(), one.text(), one.i8()]); // other levels that set it
  return [name, { value, isDefault }];
}

export function incrementalAlterConfigs(topic: string, configs: Readonly<Record<string, string>>): ApiRequest<void> {
  const body = new Writer().list([topic], (name, writer) => {
    writer.i8(ofTopic).text(name);
    writer.list(Object.entries(configs), ([config, value]) => writer.text(config).i8(0).text(value)); // 0: SET
  });
  return apiRequest('IncrementalAlterConfigs', 44, 0, body.bool(false), (answer) => {
    for (const error of answer.throttle().list(readAltered)) if (error) throw error;
  });
}
function readAltered(answer: ResponseReader): KafkaError | null {
  const [number, brokerMessage] = [answer.i16(), answer.textOrNull()];
  answer.i8();
  return errorOf(number, answer.text(), brokerMessage, 'AlterConfigs');
}

/** Defines a request (its bytes and the decoder of its response) and the parts that many requests share. */
import { Reader, Writer } from './primitives';
import { errorOf, KafkaError } from './errors';
import type { PartitionResult, Node, TopicPartition } from './types';

/** Encoded request with the decoder of its response. */
export interface ApiRequest<T> {
  readonly name: string;
  readonly key: number;
  readonly version: number;
  readonly body: Buffer;
  readonly read: (answer: ResponseReader) => T;
}
export function apiRequest<T>(
  name: string,
  key: number,
  version: number,
  body: Writer,
  read: (answer: ResponseReader) => T,
): ApiRequest<T> {
  return { name, key, version, body: body.bytes, read };
}

/** Reader of a response. `throttleMs` is the delay that the broker imposes on this client after it. */
export class ResponseReader extends Reader {
  throttleMs = 0;
  throttle(): this {
    this.throttleMs = this.i32();
    return this;
  }
}

/** Encodes a request for the API versions that the broker supports. */
export function apiVersions(): ApiRequest<Record<number, { minVersion: number; maxVersion: number }>> {
  return apiRequest('ApiVersions', 18, 2, new Writer(), (answer) => {
    failIf(answer.i16(), 'versions');
    const rows = answer.list((one) => ({ key: one.i16(), minVersion: one.i16(), maxVersion: one.i16() }));
    answer.throttle();
    return Object.fromEntries(rows.map(({ key, ...range }) => [key, range]));
  });
}

export function failIf(number: number, about: string, brokerMessage?: string | null): void {
  const error = errorOf(number, about, brokerMessage);
  if (error) throw error;
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** Writes partitions grouped by topic, since Kafka's format names each topic once. */
export function writeByTopic<S extends TopicPartition>(
  body: Writer,
  topicPartitions: readonly S[],
  write: (topicPartition: S) => unknown,
): void {
  body.list(byTopic(topicPartitions), ([topic, list]) => body.text(topic).list(list, write));
}
export function byTopic<S extends TopicPartition>(
  topicPartitions: readonly S[],
): readonly (readonly [topic: string, spots: S[]])[] {
  const topics = new Map<string, S[]>();
  for (const topicPartition of topicPartitions) {
    const list = topics.get(topicPartition.topic);
    if (list) list.push(topicPartition);
    else topics.set(topicPartition.topic, [topicPartition]);
  }
  return [...topics];
}
export function readByTopic<T>(answer: ResponseReader, read: (answer: ResponseReader, topic: string) => T): T[] {
  return answer
    .list((one) => {
      const topic = one.text();
      return one.list((each) => read(each, topic));
    })
    .flat();
}

/** Returns a result for each requested partition, in that order; UNVERIFIED for one that the response lacks. */
export function verified<S extends TopicPartition, A extends PartitionResult>(
  requested: readonly S[],
  answers: readonly A[],
  without: (topicPartition: S, error: KafkaError) => A,
): A[] {
  const named = new Map(answers.map((answer) => [keyOf(answer), answer]));
  return requested.map((topicPartition) => {
    const key = keyOf(topicPartition);
    return (
      named.get(key) ?? without(topicPartition, new KafkaError('UNVERIFIED', `the response does not contain ${key}`))
    );
  });
}

export function readNode(answer: ResponseReader): Node {
  return { node: answer.i32(), host: answer.text(), port: answer.i32() };
}

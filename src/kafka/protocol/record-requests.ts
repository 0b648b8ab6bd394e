/** Encodes requests about records, offsets and metadata in versions that Kafka 3.9 and 4.1 share. Decodes responses. */
import {
  apiRequest,
  type ApiRequest,
  type ResponseReader,
  failIf,
  keyOf,
  readByTopic,
  readNode,
  verified,
  writeByTopic,
} from './request';
import { measureBatch, writeBatch } from './batch-writer';
import { Writer } from './primitives';
import { errorOf, KafkaError } from './errors';
import { readRecords, BatchRead } from './batch-reader';
import type { PartitionResult, Batch, FetchRequest, Fetched, Metadata, Produced, TopicPartition } from './types';

export function metadata(topics: readonly string[] | null): ApiRequest<Metadata> {
  const body = new Writer().list(topics, (name, writer) => writer.text(name)).bool(false);
  return apiRequest('Metadata', 3, 7, body, (answer) => {
    const nodes = answer.throttle().list((one) => {
      const node = readNode(one);
      one.textOrNull(); // rack
      return node;
    });
    const cluster = answer.text();
    const controller = answer.i32();
    return { cluster, controller, nodes, topics: answer.list(readTopic) };
  });
}
function readTopic(answer: ResponseReader): Metadata['topics'][number] {
  const number = answer.i16();
  const name = answer.text();
  const internal = answer.bool();
  const partitions = answer.list((one) => {
    one.i16(); // the partition's error, which only repeats that it has no leader
    const partition = one.i32();
    const [leader, epoch] = [one.i32(), one.i32()];
    const [replicas, inSync] = [one.list((r) => r.i32()), one.list((r) => r.i32())];
    one.list((r) => r.i32()); // offline replicas
    return { partition, leader: leader < 0 ? null : leader, epoch, replicas, inSync };
  });
  return {
    name,
    error: errorOf(number, name, null, 'Describe'),
    internal,
    partitions: partitions.toSorted(byPartition),
  };
}
function byPartition(a: { readonly partition: number }, b: { readonly partition: number }): number {
  return a.partition - b.partition;
}

/** Encodes the request of a producer without transactions. The broker returns a new id with epoch 0 at each call. */
export function initProducerId(): ApiRequest<number> {
  const unusedTimeoutMs = -1; // transaction timeout
  return apiRequest('InitProducerId', 22, 1, new Writer().text(null).i32(unusedTimeoutMs), (answer) => {
    const number = answer.throttle().i16();
    const refusal = errorOf(number, 'a producer id', null, 'IdempotentWrite');
    if (refusal) throw refusal;
    return answer.i64();
  });
}

export function produce(batches: readonly Batch[], timeoutMs: number, nowMs: number): ApiRequest<Produced[]> {
  const measured = batches.map((batch) => ({ ...batch, ...measureBatch(batch.records) }));
  const body = new Writer(64 + measured.reduce((sum, { bytes, topic }) => sum + bytes + topic.length * 3 + 16, 0));
  body.text(null).i16(-1).i32(timeoutMs);
  writeByTopic(body, measured, ({ partition, records, bytes, sizes, producer }) => {
    const [buffer, at] = body.i32(partition).i32(bytes).room(bytes);
    writeBatch(buffer, at, records, sizes, nowMs, producer);
  });
  return apiRequest('Produce', 0, 8, body, (answer) => {
    const answers = readByTopic(answer, readProduced);
    answer.throttle();
    return verified(batches, answers, ({ topic, partition }, error) => {
      return { topic, partition, error, offset: -1, timeMs: null, refused: [] };
    });
  });
}
function readProduced(answer: ResponseReader, topic: string): Produced {
  const partition = answer.i32();
  const number = answer.i16();
  const offset = answer.i64();
  const timeMs = answer.i64();
  answer.i64(); // log start offset
  const refused = answer.list((one) => ({ index: one.i32(), reason: one.text() }));
  const about = `${topic}/${partition}`;
  const refusal = errorOf(number, about, answer.textOrNull(), 'Write');
  const error =
    refusal ?? (offset < 0 ? new KafkaError('UNVERIFIED', `${about}: written, but the response has no offset`) : null);
  return { topic, partition, error, offset, timeMs: timeMs < 0 ? null : timeMs, refused };
}

export function fetch({ partitions, maxWaitMs, bytesMin = 1, bytesMax }: FetchRequest): ApiRequest<Fetched[]> {
  const body = new Writer().i32(-1).i32(maxWaitMs).i32(bytesMin).i32(bytesMax);
  body.i8(1); // isolation level read_committed
  body.i32(0).i32(-1); // no fetch session
  writeByTopic(body, partitions, (one) => {
    body.i32(one.partition).i32(-1).i64(one.offset).i64(-1).i32(one.bytesMax);
  });
  body.i32(0).text('');
  return apiRequest('Fetch', 1, 11, body, (answer) => {
    failIf(answer.throttle().i16(), 'fetch');
    answer.i32();
    const from = new Map(partitions.map((topicPartition) => [keyOf(topicPartition), topicPartition.offset]));
    const taken = new BatchRead();
    const answers = readByTopic(answer, (one, topic) => readFetched(one, topic, from, taken));
    return verified(partitions, answers, ({ topic, partition, offset }, error) => {
      return { topic, partition, error, records: [], next: offset, start: -1, end: -1, high: -1 };
    });
  });
}
function readFetched(
  answer: ResponseReader,
  topic: string,
  from: ReadonlyMap<string, number>,
  taken: BatchRead,
): Fetched {
  const partition = answer.i32();
  const refusal = errorOf(answer.i16(), `${topic}/${partition}`, null, 'Read');
  const high = answer.i64();
  const end = answer.i64(); // last stable offset: an open transaction holds back the records from here on
  const start = answer.i64();
  const aborted = answer.list((one) => ({ producer: one.i64(), first: one.i64() }));
  answer.i32(); // preferred read replica, only for clients that send their rack
  const bytes = answer.blob();
  const offset = from.get(keyOf({ topic, partition })) ?? 0;
  const { records, next, error } = readRecords(bytes, partition, offset, aborted, taken);
  return { topic, partition, error: refusal ?? error, records, next, start, end, high };
}

const times = { start: -2, end: -1, high: -1 };
const uncommitted = 0;
const committed = 1;
export function listOffsets(
  topicPartitions: readonly (TopicPartition & { readonly time: 'start' | 'end' | 'high' | number })[],
): ApiRequest<(PartitionResult & { readonly offset: number })[]> {
  const body = new Writer().i32(-1).i8(topicPartitions.some(({ time }) => time === 'high') ? uncommitted : committed);
  writeByTopic(body, topicPartitions, ({ partition, time }) => {
    body.i32(partition).i64(typeof time === 'number' ? time : times[time]);
  });
  return apiRequest('ListOffsets', 2, 3, body, (answer) => {
    const answers = readByTopic(answer.throttle(), (one, topic) => {
      const partition = one.i32();
      const error = errorOf(one.i16(), `${topic}/${partition}`, null, 'Describe');
      one.i64(); // timestamp of the record found
      return { topic, partition, error, offset: one.i64() };
    });
    return verified(topicPartitions, answers, ({ topic, partition }, error) => ({
      topic,
      partition,
      error,
      offset: -1,
    }));
  });
}

export function deleteRecords(
  topicPartitions: readonly (TopicPartition & { readonly before: number })[],
  timeoutMs: number,
): ApiRequest<(PartitionResult & { readonly start: number })[]> {
  const body = new Writer();
  writeByTopic(body, topicPartitions, ({ partition, before }) => body.i32(partition).i64(before));
  return apiRequest('DeleteRecords', 21, 1, body.i32(timeoutMs), (answer) => {
    const answers = readByTopic(answer.throttle(), (one, topic) => {
      const [partition, start] = [one.i32(), one.i64()];
      return { topic, partition, start, error: errorOf(one.i16(), `${topic}/${partition}`, null, 'Delete') };
    });
    return verified(topicPartitions, answers, ({ topic, partition }, error) => ({
      topic,
      partition,
      error,
      start: -1,
    }));
  });
}

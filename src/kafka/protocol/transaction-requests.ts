/** Encodes requests about other producers' transactions: the open ones of a partition, their ids and their timeouts. */
import { apiRequest, type ApiRequest, byTopic, failIf, keyOf, verified } from './request';
import { Writer } from './primitives';
import { errorOf } from './errors';
import type { ActiveProducer, PartitionProducers, TopicPartition, Transaction } from './types';

/** Starts a request of a flexible version. Its header ends with an empty list of tagged fields. */
const flexible = (): Writer => new Writer().noTags();

export function describeProducers(topicPartitions: readonly TopicPartition[]): ApiRequest<PartitionProducers[]> {
  const body = flexible().compactList(byTopic(topicPartitions), ([topic, partitions], writer) => {
    writer
      .compactText(topic)
      .compactList(partitions, ({ partition }) => writer.i32(partition))
      .noTags();
  });
  return apiRequest('DescribeProducers', 61, 0, body.noTags(), (answer) => {
    answer.tags();
    const answers = answer.throttle().compactList((topic) => {
      const name = topic.compactText();
      const partitions = topic.compactList((one): PartitionProducers => {
        const partition = one.i32();
        const topicPartition = { topic: name, partition };
        const error = errorOf(one.i16(), keyOf(topicPartition), one.compactText(), 'Read');
        const producers = one.compactList((each): ActiveProducer => {
          const [producerId, epoch] = [each.i64(), each.i32()];
          each.i32(); // last sequence number
          const lastWrittenMs = each.i64();
          each.i32(); // coordinator epoch
          const from = each.i64();
          each.tags();
          return { producerId, epoch, lastWrittenMs, openFrom: from < 0 ? null : from };
        });
        one.tags();
        return { ...topicPartition, error, producers };
      });
      topic.tags();
      return partitions;
    });
    return verified(topicPartitions, answers.flat(), (topicPartition, error) => ({
      ...topicPartition,
      error,
      producers: [],
    }));
  });
}

/** Encodes a request for these producers' transactions. The response contains those that its broker coordinates. */
export function listTransactions(producerIds: readonly number[]): ApiRequest<{ id: string; producerId: number }[]> {
  const body = flexible()
    .compactList([], () => undefined) // in any state
    .compactList(producerIds, (id, writer) => writer.i64(id))
    .noTags();
  return apiRequest('ListTransactions', 66, 0, body, (answer) => {
    answer.tags();
    failIf(answer.throttle().i16(), 'transactions');
    answer.compactList((one) => one.compactText()); // state filters that the broker does not know
    return answer.compactList((one) => {
      const [id, producerId] = [one.compactText(), one.i64()];
      one.compactText(); // state
      one.tags();
      return { id, producerId };
    });
  });
}

export function describeTransactions(ids: readonly string[]): ApiRequest<Transaction[]> {
  const body = flexible()
    .compactList(ids, (id, writer) => writer.compactText(id))
    .noTags();
  return apiRequest('DescribeTransactions', 65, 0, body, (answer) => {
    answer.tags();
    return answer.throttle().compactList((one) => {
      const number = one.i16();
      const [id, state, timeoutMs, startMs] = [one.compactText(), one.compactText(), one.i32(), one.i64()];
      const [producerId, epoch] = [one.i64(), one.i16()];
      one.compactList((topic) => {
        topic.compactText();
        topic.compactList((partition) => partition.i32());
        topic.tags();
      });
      one.tags();
      return {
        id,
        error: errorOf(number, id),
        state,
        timeoutMs,
        startMs: startMs < 0 ? null : startMs,
        producerId,
        epoch,
      };
    });
  });
}

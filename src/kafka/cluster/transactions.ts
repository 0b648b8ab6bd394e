/** Finds the open transactions that block readers, and the commands with which an operator aborts them. */
import type { OpenTransaction } from '../../ports/log';
import { byLeader, type ClusterMetadata } from './metadata';
import { allGood } from './retry';
import type { TopicPartition, Transaction } from '../protocol/types';

/** Implements `Log.openTransactions`. */
export async function openTransactions(
  metadata: ClusterMetadata,
  topic: string,
  partitions: readonly number[],
): Promise<readonly OpenTransaction[]> {
  await metadata.partitions(topic); // requests the leaders if they are not known
  const topicPartitions = partitions.map((partition) => ({ topic, partition }));
  return metadata.withRetries(`transactions in ${topic}`, () => openTransactionsIn(metadata, topicPartitions));
}

/** Returns the transactions that are open in these partitions. Rejects with a KafkaError. */
export async function openTransactionsIn(
  metadata: ClusterMetadata,
  topicPartitions: readonly TopicPartition[],
): Promise<readonly OpenTransaction[]> {
  const { client } = metadata.parts;
  const led = [...byLeader(metadata, topicPartitions)];
  const described = await Promise.all(
    led.map(([node, mine]) => client.describeProducers({ node, channel: 'admin' }, mine)),
  );
  const open = allGood(described.flat()).flatMap(({ topic, partition, producers }) =>
    producers.flatMap((one) => (one.openFrom === null ? [] : [{ ...one, topic, partition, offset: one.openFrom }])),
  );
  if (open.length === 0) return [];
  const known = await transactionsOf(metadata, [...new Set(open.map(({ producerId }) => producerId))]);
  return open.map(({ topic, partition, offset, producerId, epoch }) => {
    const transaction = known.get(producerId);
    const place = `--topic ${topic} --partition ${partition} --start-offset ${offset}`;
    return {
      partition,
      offset,
      id: transaction?.id ?? null,
      producerId,
      epoch,
      sinceMs: transaction?.startMs ?? null,
      timeoutMs: transaction?.timeoutMs ?? null,
      abort: `kafka-transactions.sh --bootstrap-server ${metadata.bootstrap} abort ${place}`,
    };
  });
}

/**
 * Returns the transactions that the user can see, by producer id. Requests them from all brokers, as coordinators are
 * unknown.
 */
async function transactionsOf(
  metadata: ClusterMetadata,
  producerIds: readonly number[],
): Promise<ReadonlyMap<number, Transaction>> {
  const { client } = metadata.parts;
  const nodes = await metadata.nodes();
  const found = await Promise.all(
    nodes.map(async (node): Promise<readonly Transaction[]> => {
      const at = { node, channel: 'admin' } as const;
      try {
        const ids = (await client.listTransactions(at, producerIds)).map(({ id }) => id);
        return ids.length === 0 ? [] : await client.describeTransactions(at, ids);
      } catch {
        return []; // the broker does not answer, or the user lacks the permission: report without its transactions
      }
    }),
  );
  const good = found.flat().filter(({ error }) => error === null);
  return new Map(good.map((transaction) => [transaction.producerId, transaction]));
}

/** Returns a sentence about a held partition, with the command that an operator can run. */
export function describeOpen(
  { partition, offset, id, producerId, epoch, ...times }: OpenTransaction,
  nowMs: number,
): string {
  const { sinceMs, timeoutMs, abort } = times;
  const name = id === null ? '' : `'${id}' `;
  const age = sinceMs === null ? '' : `, open for ${Math.max(0, Math.round((nowMs - sinceMs) / 1000))} s`;
  const limit = timeoutMs === null ? '' : ` of at most ${Math.round(timeoutMs / 1000)} s`;
  const who = `transaction ${name}(producer id ${producerId}, epoch ${epoch}${age}${limit})`;
  return `partition ${partition} from offset ${offset} by ${who}; abort it there: ${abort}`;
}

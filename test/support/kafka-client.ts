/** Helpers of the broker client's tests on real brokers. */
import { systemClock, systemRandom } from '../../src/base/clock';
import { KafkaError } from '../../src/kafka/protocol/errors';
import { type KafkajsOptions, openKafkajs } from '../../src/kafka/client/connection-pool';
import type { Route, Channel, BrokerClient } from '../../src/kafka/client/broker-client';
import type { LogRecord } from '../../src/ports/log';

export function openClient(brokers: string, more: Partial<KafkajsOptions> = {}): BrokerClient {
  const list = brokers.split(',');
  return openKafkajs({ brokers: list, clientId: 'busbar-test', clock: systemClock, random: systemRandom, ...more });
}

export const record = (value: string | null, more: Partial<LogRecord> = {}): LogRecord => ({
  key: null,
  value: value === null ? null : Buffer.from(value),
  headers: {},
  ...more,
});

/** Retries every 100 ms while the work rejects with a retriable error, for at most `timeoutMs`. */
export async function again<T>(timeoutMs: number, work: () => Promise<T>): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof KafkaError && error.retriable) || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Returns the route to the current leader of a partition, for one channel. */
export function leaderOf(client: BrokerClient, topic: string, partition: number, channel: Channel): Promise<Route> {
  return again(60_000, async () => {
    const [found] = (await client.metadata([topic])).topics;
    if (found?.error) throw found.error;
    const node = found?.partitions[partition]?.leader;
    if (node === undefined || node === null) throw new KafkaError('LEADER_NOT_AVAILABLE', `${topic}/${partition}`);
    return { node, channel: channel };
  });
}

/** Creates a topic and waits until the leader of each partition serves it: brokers receive it one after another. */
export async function makeTopic(
  client: BrokerClient,
  name: string,
  partitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { controller: node } = await client.metadata([]);
  const wanted = [{ name, partitions, replicas: -1, configs }];
  const [answer] = await client.createTopics({ node, channel: 'admin' }, wanted, 10_000);
  if (answer?.error) throw answer.error;
  for (let partition = 0; partition < partitions; partition++)
    await again(60_000, async () => {
      const at = await leaderOf(client, name, partition, 'admin');
      sound(await client.listOffsets(at, [{ topic: name, partition, time: 'end' }]));
    });
}

/** Throws the first error of the answers, so that `again` can check it. */
export function sound<A extends { readonly error: KafkaError | null }>(answers: readonly A[]): readonly A[] {
  for (const { error } of answers) if (error) throw error;
  return answers;
}

export async function refusal(work: Promise<unknown>): Promise<KafkaError> {
  const error: unknown = await work.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof KafkaError)) throw error;
  return error;
}

export async function timed<T>(work: Promise<T>): Promise<readonly [T, number]> {
  const began = performance.now();
  return [await work, performance.now() - began];
}

/** Returns the longest time for which `work` blocked the event loop, in ms of CPU time. */
export async function longestHold(work: () => Promise<unknown>): Promise<number> {
  let [lastMs, lastUse, longestMs] = [performance.now(), process.cpuUsage(), 0];
  const look = (): void => {
    const { user, system } = process.cpuUsage(lastUse);
    // The minimum excludes CPU time of other threads of this process, and time that other processes ran instead.
    longestMs = Math.max(longestMs, Math.min(performance.now() - lastMs, (user + system) / 1_000));
    [lastMs, lastUse] = [performance.now(), process.cpuUsage()];
  };
  const timer = setInterval(look, 1);
  await work();
  clearInterval(timer);
  look();
  return longestMs;
}

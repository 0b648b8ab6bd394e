/** The Kafka messenger on logs and registries in memory, in virtual time. */
import { openNotices, type Notice } from '../../src/base/notices';
import { closable } from '../../src/base/lifecycle';
import { openKafkaMessenger } from '../../src/kafka/messenger';
import { type Transport } from '../../src/kafka/messenger/transport';
import { watchDepartures } from '../../src/kafka/messenger/departures';
import type { MemoryProcess } from '../../src/memory/world';
import type { Log, Tail } from '../../src/ports/log';
import type { Messenger } from '../../src/ports/messenger';
import type { Registry } from '../../src/ports/registry';

/** Opens a tail that returns records of one partition only; the memory log reads the whole topic. */
async function tailOf(log: Log, topic: string, partition: number): Promise<Tail> {
  const ends = (await log.bounds(topic)).map((bounds) => ({ partition: bounds.partition, offset: bounds.end }));
  const tail = await log.tail(topic, ends);
  let closed = false;
  return {
    async read(max) {
      for (;;) {
        const records = await tail.read(max);
        const own = records.filter((record) => record.partition === partition);
        if (own.length > 0 || records.length === 0 || closed) return own;
      }
    },
    ...closable(async () => {
      closed = true;
      await tail.close();
    }),
  };
}

export function memoryTransport(log: Log): Transport {
  return {
    ensure: async (topic) => (await log.ensure(topic)).partitions,
    append: async (topic, partition, record) => void (await log.append(topic, [{ ...record, partition }])),
    isLed: () => true,
    tail: (topic, partition) => tailOf(log, topic, partition),
  };
}

export interface MessengerProcess {
  readonly messenger: Messenger;
  /** The registry that {@link watchDepartures} returns for the bus. */
  readonly registry: Registry;
  readonly heard: readonly Notice[];
}

export async function openOn(
  process: MemoryProcess,
  more: { transport?: Transport; inboxPartitions?: number } = {},
): Promise<MessengerProcess> {
  const { clock, log } = process;
  const notices = openNotices();
  const heard: Notice[] = [];
  notices.watch((notice) => void heard.push(notice));
  const departures = watchDepartures(process.registry, clock);
  const messenger = await openKafkaMessenger({
    ns: 'test',
    clock,
    random: process.random,
    notices,
    transport: more.transport ?? memoryTransport(log),
    departures,
    inboxPartitions: more.inboxPartitions ?? 3,
  });
  return { messenger, registry: departures.registry, heard };
}

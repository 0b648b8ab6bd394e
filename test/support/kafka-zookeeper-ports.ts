/** Messenger on Kafka, registry and settings on ZooKeeper, for the conformance suites. */
import { randomHex, systemClock, systemRandom, type Clock } from '../../src/base/clock';
import { closable, type Closable } from '../../src/base/lifecycle';
import { openNotices } from '../../src/base/notices';
import { openKafkajs } from '../../src/kafka/client/connection-pool';
import { openKafkaMessenger } from '../../src/kafka/messenger';
import { watchDepartures } from '../../src/kafka/messenger/departures';
import { openTransport } from '../../src/kafka/messenger/transport';
import { ClusterMetadata } from '../../src/kafka/cluster/metadata';
import type { Log } from '../../src/ports/log';
import type { Messenger } from '../../src/ports/messenger';
import { openZookeeper } from '../../src/zookeeper/open';
import type { Cluster } from '../cluster/cluster';
import { instanceOf, type TestPorts, type TestProcess } from './conformance';
import { sessionOf } from './zookeeper-sessions';

/** A process or a server that pauses for less than this is not lost. */
const sessionMs = 6_000;

export async function openClusterPorts(cluster: Cluster, ns: string): Promise<TestPorts> {
  return {
    sessionMs,
    patienceMs: 60_000,
    recordsOutside: true,
    process: () => openProcess(cluster, ns),
    async wait(condition, withinMs, what) {
      const untilMs = performance.now() + withinMs;
      while (!(await condition())) {
        if (performance.now() > untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    close: () => Promise.resolve(),
  };
}

/** Opens a process whose instance is announced and watches all others, as callers watch the modules they call. */
async function openProcess(cluster: Cluster, ns: string): Promise<TestProcess> {
  let alive = true;
  const clock: Clock = { ...systemClock, after: (ms, run) => systemClock.after(ms, () => alive && run()) };
  const [random, notices] = [systemRandom, openNotices()];
  const around = { ns, clock, random, notices };
  const zookeeper = await openZookeeper({ ...around, connect: cluster.zookeeper, sessionMs });
  const client = openKafkajs({ brokers: cluster.brokers.split(','), clientId: 'post-test', clock, random });
  const metadata = new ClusterMetadata({ client, ...around });
  const transport = openTransport(metadata);
  const departures = watchDepartures(zookeeper.registry, clock);
  const opened = await openKafkaMessenger({ ...around, transport, departures, inboxPartitions: 6 });
  const closing = closable(async () => {
    await opened.close();
    await transport.close();
    metadata.close();
    await client.close();
    await zookeeper.close();
  });
  const one: TestProcess = {
    // The cast: these suites do nothing with the log but close it.
    log: closable(() => Promise.resolve()) as unknown as Log,
    settings: zookeeper.settings,
    messenger: closedBy(opened, closing),
    registry: departures.registry,
    async crash() {
      alive = false;
      sessionOf(zookeeper).connection?.cut('killed');
      await client.close();
    },
  };
  await one.registry.announce(instanceOf(one, `peer#${randomHex(random, 32)}`, 'peer'));
  await one.registry.watch('peer', () => undefined);
  return one;
}

/** Returns the messenger with another `close`. */
function closedBy(messenger: Messenger, closing: Closable): Messenger {
  return {
    address: messenger.address,
    receive: (receiver) => messenger.receive(receiver),
    send: (to, packet) => messenger.send(to, packet),
    broadcast: (module, packet) => messenger.broadcast(module, packet),
    join: (module) => messenger.join(module),
    ...closing,
  };
}

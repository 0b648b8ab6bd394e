/** Start before the servers, and creation of topics by the first instance that needs them, and by a second one beside it (TW-1 to TW-3). */
import net from 'node:net';
import { openBus } from 'busbar';
import { z } from 'zod';
import { defineModule, event } from '../../src/index';
import { freePorts } from '../cluster/ports';
import { ms, type Figure } from './figures';
import { isTimely, later, onKafka, withAdmin, type Around, type Scenario } from './scene';

const notes = defineModule('notes', { written: event(z.object({ n: z.number() })) });
const partitions = 12;
/** Time for which no server listens. */
const awayMs = 3_000;
/** Longest time from the start of the servers to an open bus. */
const lateMsMax = 15_000;

export const topics: Scenario = {
  title: 'a bus that is opened before its servers; topics that a first and a second instance create',
  async run(around) {
    const [lateMs, waitedMs] = await openBeforeServers(around);
    const before = await topicsOf(around);
    const made = await openAndPublish(around);
    const created = await topicsOf(around);
    const found = await openAndPublish(around);
    const again = await topicsOf(around);
    const topic = again.find(({ name }) => name === `${around.ns}.notes.events`);
    const isSame = JSON.stringify(created) === JSON.stringify(again);
    const figures: Figure[] = [
      {
        row: 'TW-2',
        what: `opened ${ms(awayMs)} before its servers`,
        authors: 'wait_for_brokers',
        ours: `open after ${ms(waitedMs)}, ${ms(lateMs)} after them`,
        ok: waitedMs >= awayMs && isTimely(around, lateMs, lateMsMax),
      },
      {
        row: 'TW-1',
        what: 'open, create topics, first event',
        authors: 'connects when it is used',
        ours: ms(made),
        ok: before.length === 0,
      },
      {
        row: 'TW-3',
        what: 'partitions of the topic of events',
        authors: '3',
        ours: `${topic?.partitions ?? 0}`,
        ok: topic?.partitions === partitions,
      },
      {
        row: 'TW-3',
        what: 'a second instance creates them again',
        authors: 'exists',
        ours: `${isSame ? 'exist' : 'differ'}, ${ms(found)}`,
        ok: isSame,
      },
    ];
    return figures;
  },
};

/**
 * Opens a bus whose servers begin to listen later. Returns the time from then on, and the time in all. Forwarders on new
 * ports stand for the servers, so that no server is stopped.
 */
async function openBeforeServers(around: Around): Promise<readonly [lateMs: number, waitedMs: number]> {
  const { cluster } = around;
  const [broker = 0, zookeeper = 0] = await freePorts(2);
  const beganMs = performance.now();
  let isOpen = false;
  const opening = openBus({
    log: false,
    module: 'early',
    ...onKafka({ cluster, ns: `${around.ns}-early` }),
    brokers: [`127.0.0.1:${broker}`],
    zookeeper: `127.0.0.1:${zookeeper}`,
    waitForServersMs: 120_000,
  }).finally(() => (isOpen = true));
  opening.catch(() => undefined); // awaited below
  await later(awayMs);
  if (isOpen) throw new Error('the bus was open before its servers');
  const startMs = performance.now();
  const forwarders = [
    await forward(broker, cluster.brokers.split(',')[0] ?? ''),
    await forward(zookeeper, cluster.zookeeper),
  ];
  try {
    await using bus = await opening;
    const nowMs = performance.now();
    around.say(`${bus.self.instance} is open`);
    return [nowMs - startMs, nowMs - beganMs];
  } finally {
    for (const close of forwarders) close();
  }
}

/** Forwards connections of a port to a server. The returned function ends it. */
async function forward(port: number, server: string): Promise<() => void> {
  const [host = '', to] = server.split(':');
  const sockets = new Set<net.Socket>();
  const forwarder = net.createServer((near) => {
    const far = net.connect(Number(to), host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
    }
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => forwarder.listen(port, '127.0.0.1', resolve));
  return () => {
    for (const socket of sockets) socket.destroy();
    forwarder.close();
  };
}

async function openAndPublish(around: Around): Promise<number> {
  const beganMs = performance.now();
  await using bus = await openBus({ log: false, module: notes, ...onKafka(around) });
  await bus.publish(notes.written, { n: 1 });
  return performance.now() - beganMs;
}

async function topicsOf(around: Around): Promise<readonly { readonly name: string; readonly partitions: number }[]> {
  return withAdmin(around, async (admin) => {
    const names = (await admin.listTopics()).filter((name) => name.startsWith(`${around.ns}.`));
    if (names.length === 0) return [];
    const { topics: found } = await admin.fetchTopicMetadata({ topics: names });
    return found
      .map(({ name, partitions: all }) => ({ name, partitions: all.length }))
      .toSorted((a, b) => a.name.localeCompare(b.name));
  });
}

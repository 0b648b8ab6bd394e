/** Actions of operators and other tools on a cluster with running instances: each is reported with a command. */
import { Kafka, logLevel } from 'kafkajs';
import type { Bus } from '../../src/index';
import { inspect } from '../../src/inspect';
import { kafkaSuite } from '../cluster/suite';
import { runNamed } from '../cluster/tools';
import { foreignClients, press, type ForeignClients } from '../support/foreign-clients';

kafkaSuite(
  'a cluster with running instances',
  (suite) => {
    let clients: ForeignClients;
    beforeEach(() => (clients = foreignClients(suite)));
    afterEach(() => clients.close());

    const reasonOf = (bus: Bus, part: string): string | undefined =>
      bus.health().reasons.find((one) => one.part === part)?.reason;

    test('an open transaction of a foreign producer is reported, and ended by the printed command', async () => {
      await clients.serve();
      const bus = await clients.openBus();
      await bus.serve(press, { print: () => undefined }); // it owns partitions as well
      await bus.submit(press.print, { n: 0 });
      const { brokers, zookeeper } = suite.cluster;
      const client = new Kafka({ brokers: brokers.split(','), logLevel: logLevel.NOTHING });
      const transactionalId = `${clients.ns}-billing`;
      const producer = client.producer({ transactionalId, maxInFlightRequests: 1, transactionTimeout: 600_000 });
      await producer.connect();
      const transaction = await producer.transaction();
      const theirs = Array.from({ length: 12 }, (_, partition) => ({ value: '{"n": 1}', partition }));
      await transaction.send({ topic: clients.topic, messages: theirs });

      const jobs = Array.from({ length: 60 }, (_, n) => ({ n: n + 100 }));
      await bus.submitAll(press.print, jobs);
      const part = `transactions in ${clients.topic}`;
      await clients.until('health names it', () => reasonOf(bus, part) !== undefined);
      expect(bus.health().ready).toBe(true);
      const reason = reasonOf(bus, part) ?? '';
      expect(reason).toContain(`transaction '${transactionalId}'`);
      expect(clients.printed.filter(({ n }) => n >= 100)).toEqual([]);

      const given = { transport: 'kafka', brokers: brokers.split(','), zookeeper, ns: clients.ns } as const;
      const look = await inspect(given);
      const [queue] = await look.inspector.queues(['press.work']);
      expect(queue).toMatchObject({ state: 'blocked', waiting: 72, blocked: 72, exact: false, about: true });
      await clients.until('it is an alarm', async () => {
        const { alarms } = await look.inspector.status();
        const held = alarms.find(({ what }) => what === 'blocked');
        return held !== undefined && held.message.includes(transactionalId) && held.next.includes('abort --topic');
      });

      for (let n = 0; n < 12; n++) {
        const { alarms } = await look.inspector.status();
        const held = alarms.find(({ what }) => what === 'blocked');
        if (held) await runNamed(suite.cluster, held.next);
      }
      await clients.until('health is well again', () => reasonOf(bus, part) === undefined);
      const settled = async (): Promise<boolean> => {
        const [found] = await look.inspector.queues(['press.work']);
        return found?.state === 'caught up' && found.exact;
      };
      await clients.until('all jobs are handled', settled);
      await look.close();
      await producer.disconnect();
    });
  },
  { tools: true },
);

/**
 * Actions of operators and other tools on topics, groups and quotas of running instances. They are reported within
 * two minutes, and the printed command repairs them.
 */
import { BusError, type Bus } from '../../src/index';
import { leaderOf } from '../support/kafka-client';
import { openRealClient } from '../support/kafka-log-ports';
import { kafkaSuite } from '../cluster/suite';
import { runNamed, runTool } from '../cluster/tools';
import { foreignClients, press, type ForeignClients } from '../support/foreign-clients';

jest.setTimeout(600_000);

kafkaSuite(
  'topics, groups and quotas of running instances',
  (suite) => {
    let clients: ForeignClients;
    beforeEach(() => (clients = foreignClients(suite)));
    afterEach(() => clients.close());

    /** Opens two instances, and submits two jobs. */
    async function open(): Promise<Bus> {
      await clients.serve();
      const bus = await clients.openBus();
      await bus.serve(press, { print: () => undefined });
      await bus.submitAll(press.print, [{ n: 1 }, { n: 2 }]);
      return bus;
    }
    const reasonOf = (bus: Bus, part: string): string =>
      bus.health().reasons.find((one) => one.part === part)?.reason ?? '';
    const reported = async (bus: Bus, part: string): Promise<string> => {
      await clients.until(`${part} is reported`, () => reasonOf(bus, part) !== '', 120_000);
      return reasonOf(bus, part);
    };
    const isWell = (bus: Bus): Promise<void> =>
      clients.until('health is well again', () => bus.health().reasons.length === 0, 120_000);

    test('a changed setting of a topic is reported, and reverted by the printed command', async () => {
      const bus = await open();
      const to = ['--entity-type', 'topics', '--entity-name', clients.topic];
      await runTool(suite.cluster, 'configs', ['--alter', ...to, '--add-config', 'retention.ms=3600000']);
      const reason = await reported(bus, `topic ${clients.topic}`);
      expect(reason).toContain('retention.ms is 3600000, not -1: records are deleted when they are older');
      expect(bus.health().ready).toBe(true);
      await runNamed(suite.cluster, reason);
      await isWell(bus);
    });

    test('a deleted topic fails appends, is reported, and is recreated by the printed command', async () => {
      const bus = await open();
      await runTool(suite.cluster, 'topics', ['--delete', '--topic', clients.topic]);
      const reason = await reported(bus, `topic ${clients.topic}`);
      expect(bus.health().ready).toBe(false);
      const beganMs = performance.now();
      const error = await bus.submit(press.print, { n: 3 }).then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(BusError);
      expect(String(error)).toContain(`topic ${clients.topic} does not exist`);
      expect(performance.now() - beganMs).toBeLessThan(10_000);
      await runNamed(suite.cluster, reason.replace('; instances then continue', ''));
      await isWell(bus);
      const before = clients.printed.length;
      const jobs = Array.from({ length: 60 }, (_, n) => ({ n: n + 100 }));
      await bus.submitAll(press.print, jobs);
      await clients.until('jobs are handled again', () => clients.printed.length > before, 60_000);
    });

    test('added partitions are reported, and prevent serving', async () => {
      const bus = await open();
      await runTool(suite.cluster, 'topics', ['--alter', '--topic', clients.topic, '--partitions', '13']);
      const reason = await reported(bus, `topic ${clients.topic}`);
      expect(reason).toContain('has 13 partitions, but this version uses 12');
      const late = await clients.openBus();
      const refused = await late.serve(press, { print: () => undefined }).then(
        () => 'it serves',
        (error: unknown) => String(error),
      );
      expect(refused).toContain('has 13 partitions');
    });

    test('leader elections and moved replicas cause no report, and all jobs are handled', async () => {
      const bus = await open();
      const client = openRealClient(suite.cluster.brokers, 'operator');
      const before = (await leaderOf(client, clients.topic, 0, 'admin')).node;
      const nodes = [1, 2, 3].map((n) => ((before + n - 1) % 3) + 1);
      const partitions = Array.from({ length: 12 }, (_, partition) => ({
        topic: clients.topic,
        partition,
        replicas: [...nodes.slice(partition % 3), ...nodes.slice(0, partition % 3)],
      }));
      await runTool(
        suite.cluster,
        'reassign',
        ['--execute', '--reassignment-json-file', '/dev/stdin'],
        JSON.stringify({ version: 1, partitions }),
      );
      await runTool(suite.cluster, 'leaders', ['--election-type', 'preferred', '--all-topic-partitions']);
      const jobs = Array.from({ length: 120 }, (_, n) => ({ n: n + 100 }));
      await bus.submitAll(press.print, jobs);
      await clients.until(
        'all are handled',
        async () => {
          const [group] = await groupLag();
          return group === 0;
        },
        120_000,
      );
      await client.close();
      expect(bus.health().reasons).toEqual([]);
    });

    async function groupLag(): Promise<number[]> {
      const args = ['--describe', '--timeout', '60000', '--group', clients.topic];
      const out = await runTool(suite.cluster, 'groups', args);
      const [head = [], ...rows] = out
        .split('\n')
        .flatMap((line) => (line.trim() === '' ? [] : [line.trim().split(/\s+/)]));
      const lag = head.indexOf('LAG');
      return [rows.reduce((sum, row) => sum + Number(row[lag]), 0)];
    }

    test('offsets of a group cannot be reset or deleted while instances run', async () => {
      const bus = await open();
      const reset = [
        '--reset-offsets',
        '--to-earliest',
        '--execute',
        '--topic',
        clients.topic,
        '--group',
        clients.topic,
      ];
      const refusals = [
        reset,
        ['--delete', '--group', clients.topic],
        ['--delete-offsets', '--topic', clients.topic, '--group', clients.topic],
      ];
      for (const args of refusals) {
        const said = await runTool(suite.cluster, 'groups', args).catch((error: unknown) => String(error));
        expect(said).toMatch(/only be reset if the group|not empty|NonEmptyGroup|GroupSubscribedToTopic|subscribed/i);
      }
      await bus.submit(press.print, { n: 7 });
      expect(bus.health().reasons).toEqual([]);
    });

    test('a quota of the client is reported, and delayed submits succeed', async () => {
      const bus = await open();
      const of = ['--entity-type', 'clients', '--entity-name', bus.self.instance];
      await runTool(suite.cluster, 'configs', ['--alter', ...of, '--add-config', 'producer_byte_rate=20000']);
      let running = true;
      const ends = new Set<string>();
      const load = (async () => {
        for (let n = 0; running; n++) {
          const end = await bus.submit(press.print, { n, more: 'x'.repeat(20_000) } as { n: number }).then(
            () => 'ok',
            (error: unknown) => (error as BusError).code,
          );
          ends.add(end);
        }
      })();
      const reason = await reported(bus, 'quota');
      expect(reason).toMatch(/delayed this client by \d+\.\d s in the last minute \(Produce .*producer_byte_rate/);
      expect(bus.health().ready).toBe(true);
      running = false;
      await load;
      expect([...ends]).toEqual(['ok']);
      await runTool(suite.cluster, 'configs', ['--alter', ...of, '--delete-config', 'producer_byte_rate']);
      await isWell(bus);
    });
  },
  { tools: true },
);

/** Kafka's tools inspect busbar's queues, and a foreign consumer joins a group of busbar. */
import { kafkaSuite } from '../cluster/suite';
import { runTool } from '../cluster/tools';
import { foreignClients, press, type ForeignClients } from '../support/foreign-clients';

kafkaSuite(
  "Kafka's tools with busbar's groups",
  (suite) => {
    let clients: ForeignClients;
    let end: AbortController;
    beforeEach(() => {
      clients = foreignClients(suite);
      end = new AbortController();
    });
    afterEach(async () => {
      end.abort();
      await clients.close();
    });
    const jobs = (count: number): { n: number }[] => Array.from({ length: count }, (_, n) => ({ n }));

    /** Returns the rows that kafka-consumer-groups.sh prints, by column. */
    async function describeGroup(...more: string[]): Promise<Record<string, string>[]> {
      const out = await runTool(suite.cluster, 'groups', [
        '--describe',
        '--timeout',
        '60000',
        '--group',
        clients.topic,
        ...more,
      ]);
      const [head = [], ...rows] = out
        .split('\n')
        .flatMap((line) => (line.trim() === '' ? [] : [line.trim().split(/\s+/)]));
      return rows.map((row) => Object.fromEntries(head.map((name, i) => [name, row[i] ?? ''])));
    }
    const sumOf = (rows: readonly Record<string, string>[], name: string): number =>
      rows.reduce((sum, row) => sum + Number(row[name]), 0);

    test('the consumer-groups tool lists instances and partitions, and counts unsettled jobs as lag', async () => {
      let hold = Promise.resolve();
      await clients.serve(() => hold);
      await clients.serve(() => hold);
      const bus = await clients.openBus();
      // Without a commit the tool shows a dash instead of a lag.
      await bus.submitAll(press.print, jobs(100));
      await clients.until('all was printed', () => clients.printed.length === 100);
      let letGo = (): void => undefined;
      hold = new Promise((resolve) => (letGo = resolve));
      await bus.submitAll(press.print, jobs(100));
      await clients.until(
        'what was settled is committed',
        async () => sumOf(await describeGroup(), 'CURRENT-OFFSET') === 100,
      );
      const held = await describeGroup();
      expect(held).toHaveLength(12);
      expect(new Set(held.map((row) => row['CLIENT-ID']))).toEqual(new Set(clients.instances));
      for (const row of held) expect(row['HOST']).toBe('/127.0.0.1');
      expect(sumOf(held, 'LOG-END-OFFSET')).toBe(200);
      expect(sumOf(held, 'LAG')).toBe(100);
      const members = await describeGroup('--members');
      expect(new Set(members.map((row) => row['CLIENT-ID']))).toEqual(new Set(clients.instances));
      expect(members.map((row) => row['#PARTITIONS'])).toEqual(['6', '6']);
      letGo();
      await clients.until('all was printed', () => clients.printed.length === 200);
      await clients.until('it is committed', async () => sumOf(await describeGroup(), 'LAG') === 0);
    });

    test('the console consumer shows the envelope and the key of each job', async () => {
      await clients.serve();
      const bus = await clients.openBus();
      const [sent] = await bus.submitAll(press.print, [{ n: 7 }]);
      const shown = ['print.headers=true', 'print.key=true', 'print.partition=true'].flatMap((one) => [
        '--property',
        one,
      ]);
      const args = ['--topic', clients.topic, '--from-beginning', '--max-messages', '1', ...shown];
      const line = await runTool(suite.cluster, 'consumer', args);
      expect(line).toContain(`bus:1 work press.print ${sent?.id} ${bus.self.instance} `);
      expect(line.split('\t')[2]).toBe('7');
      await clients.until('it was printed', () => clients.printed.length === 1);
    });

    const told = (ok: boolean): string[] =>
      clients.heard.flatMap((notice) =>
        notice.type === 'state' && notice.part === `group ${clients.topic}` && notice.ok === ok ? [notice.reason] : [],
      );
    const consume = (...more: string[]): Promise<string> =>
      runTool(suite.cluster, 'consumer', ['--topic', clients.topic, '--group', clients.topic, ...more], '', end.signal);

    test('foreign consumers are rejected by the group, or reported until they leave', async () => {
      await clients.serve();
      const bus = await clients.openBus();
      await bus.submitAll(press.print, jobs(20));
      await clients.until('all was printed', () => clients.printed.length === 20);
      // Brokers from 4.0 on reject both protocols; brokers of 3.9 accept the newer one and convert the group for it.
      for (const protocol of ['classic', 'consumer']) {
        let ended = false;
        const property = ['--consumer-property', `group.protocol=${protocol}`];
        const consumer = consume(...property).then(() => (ended = true));
        await clients.until('it is refused or told', () => ended || told(false).length > 0);
        if (!ended) {
          expect(told(false)[0]).toContain(
            `consumers that are not busbar instances have joined group ${clients.topic}`,
          );
          end.abort();
          await consumer;
          await clients.until('our members are back', () => told(true).length > 0);
        }
      }
      await bus.submitAll(press.print, jobs(20));
      await clients.until('all is printed', () => clients.printed.length === 40);
      expect(bus.health().ready).toBe(true);
    });

    const named = /not busbar instances have joined group \S+ \(console-consumer at \/127\.0\.0\.1\)/;
    const unnamed =
      /not busbar instances have joined group \S+ \(consumers with group\.protocol=consumer, see kafka-consumer-groups\.sh/;
    test.each([
      ['classic', named],
      ['consumer', unnamed],
    ])('serving is rejected with Config while a foreign %s consumer is in the group', async (protocol, says) => {
      const stop = await clients.serve();
      await stop(); // the topic exists, and the group is empty
      let refused = false;
      const consumer = consume('--consumer-property', `group.protocol=${protocol}`).then(() => (refused = true));
      const isMember = async (): Promise<boolean> => (await describeGroup('--members')).length === 1;
      await clients.until('it is a member', async () => refused || isMember());
      if (refused) return; // brokers of 3.9 support the newer protocol only if configured
      await expect(clients.serve()).rejects.toMatchObject({ code: 'Config', message: expect.stringMatching(says) });
      end.abort();
      await consumer;
      await clients.until('it has left', async () => (await describeGroup('--members')).length === 0);
      await clients.serve();
      await (await clients.openBus()).submitAll(press.print, jobs(3));
      await clients.until('all was printed', () => clients.printed.length === 3);
    });
  },
  { tools: true },
);

/** The photo site on Kafka and ZooKeeper: a broker and two instances are killed during uploads, and nothing is lost. */
import { openBus, type Bus } from '../../src/index';
import { Ledger } from '../../modules/demo/ledger';
import { demoTag, pictures } from '../../modules/demo/pictures';
import { photos } from '../../modules/photos/contract';
import { search, foundMax } from '../../modules/search/contract';
import { thumbnails } from '../../modules/thumbnails/contract';
import { upload } from '../../modules/upload';
import { kafkaSuite } from '../cluster/suite';
import { startSite, until, type RunningSite } from './site';

const pictureCount = 44;
const uploadsAtOnce = 4;
/** Longer than the group is without a coordinator: a member without one for a session repeats its jobs. */
const sessionMs = 20_000;

kafkaSuite(
  'the photo site on Kafka',
  (suite) => {
    let site: RunningSite | undefined;
    let bus: Bus | undefined;
    afterEach(async () => {
      await bus?.close();
      await site?.end();
    });

    test('loses no photo when a broker and then two instances are killed during uploads', async () => {
      const { brokers, zookeeper } = suite.cluster;
      const ns = suite.namespace;
      const given = { BUSBAR_TRANSPORT: 'kafka', BUSBAR_BROKERS: brokers, BUSBAR_ZOOKEEPER: zookeeper, BUSBAR_NS: ns };
      site = await startSite({ ...given, BUSBAR_SESSION_MS: `${sessionMs}` });
      const { supervisor, urls } = site;
      const ledger = new Ledger();
      const files = new Map<string, string>();
      bus = await openBus({
        log: false,
        module: 'demo',
        transport: 'kafka',
        brokers: brokers.split(','),
        zookeeper,
        ns,
        sessionMs,
      });
      // Named, so that no event is missed.
      await bus.listen(photos.added, { as: 'books' }, ({ id }, context) => ledger.told(id, context.id));
      await bus.listen(thumbnails.broken, { as: 'books' }, (broken) => ledger.outcome(broken));
      await bus.listen(thumbnails.done, { as: 'books' }, (done) => {
        ledger.outcome(done);
        files.set(done.photoId, done.file);
      });

      const kill = async (name: string): Promise<void> => {
        ledger.killed(supervisor.pid(name) ?? 0);
        await supervisor.kill(name, 'SIGKILL');
      };
      const { cluster } = suite;
      const accidents: readonly (readonly [accepted: number, run: () => Promise<void>])[] = [
        [6, () => cluster.broker(2).kill()],
        [18, () => cluster.mend()], // two brokers are running until then
        [24, () => kill('thumbnails-1')],
        [32, () => kill('photos')],
      ];
      const due = [...accidents];
      const left = [...(await pictures(pictureCount)).entries()];
      const one = async (): Promise<void> => {
        for (let next = left.shift(); next; next = left.shift()) {
          const [index, picture] = next;
          ledger.upload(picture.name, await upload(urls, picture, index));
          const [accident] = due;
          // The other uploads continue meanwhile.
          if (accident && ledger.acceptedCount >= accident[0]) await due.shift()?.[1]();
        }
      };
      await Promise.all(Array.from({ length: uploadsAtOnce }, one));
      expect(due).toEqual([]);
      const complete = (): Promise<boolean> => Promise.resolve(ledger.missing().length === 0);
      await until('everything is settled', complete, 180_000).catch((error: unknown) => {
        throw new Error(
          `${String(error)}; missing: ${ledger.missing().join(', ')}\n${site?.lines.slice(-40).join('\n')}`,
        );
      });

      const found = async (): Promise<number> =>
        (
          await bus?.request(
            search.find,
            { text: demoTag, limit: foundMax },
            { waitForInstanceMs: 10_000, timeoutMs: 30_000 },
          )
        )?.ids.length ?? 0;
      await until('search finds all', async () => (await found()) === ledger.acceptedCount);
      expect(ledger.refused).toEqual([expect.stringContaining('a text that says it is a JPEG: 415')]);
      expect(ledger.acceptedCount).toBe(pictureCount + 3);
      expect(ledger.parked()).toHaveLength(3);
      for (const row of ledger.rows(await found())) expect(row).toMatchObject({ lost: 0, twice: 0 });
      const [uploads, jobs, added] = ledger.rows(await found());
      expect([uploads?.done, jobs?.done, added?.done]).toEqual([pictureCount + 3, pictureCount, pictureCount + 3]);
      // Beyond the events: the files exist, and the gallery lists them.
      expect(files.size).toBe(pictureCount);
      for (const file of files.values()) expect((await fetch(`${urls[1]}/files/${file}`)).status).toBe(200);
      await until('the gallery has all', async () => {
        const { total } = (await (await fetch(`${urls[0]}/photos`)).json()) as { total?: number }; // the format of web
        return total === pictureCount + 3;
      });
    });
  },
  { alone: true },
);

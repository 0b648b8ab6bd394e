/** Instances of a module that are replaced in turn under load: requests and jobs continue, with correct errors. */
import { kafkaSuite, type KafkaSuite } from '../cluster/suite';
import { shop } from '../bus/contract';
import type { Note, Scene } from '../bus/processes';
import { queueOf } from '../../src/format/names';
import type { Bus } from '../../src/index';
import { openBusScene } from '../support/cluster-scenes';
import { Jobs } from './jobs';

/** Returns the longest time in ms that a partition was without an owner between two owners, and the number of moves. */
function longestGapMs(lines: readonly Note[], queue: string): { readonly gapMs: number; readonly moves: number } {
  const freeSince = new Map<string, number>();
  let [gapMs, moves] = [0, 0];
  for (const { atMs, text } of lines.toSorted((a, b) => a.atMs - b.atMs)) {
    const [change = '', of, partition = ''] = text.split(' ');
    if (of !== queue) continue;
    if (change === 'taken') {
      moves += freeSince.has(partition) ? 1 : 0;
      gapMs = Math.max(gapMs, atMs - (freeSince.get(partition) ?? atMs));
      freeSince.delete(partition);
    } else freeSince.set(partition, atMs);
  }
  if (freeSince.size > 0) throw new Error(`partitions ${[...freeSince.keys()].join()} have no owner in the end`);
  return { gapMs, moves };
}

const closing: (() => Promise<void>)[] = [];
/** Opens a scene that is closed after the test. */
function opened(
  { cluster, namespace: ns }: KafkaSuite,
  sessionMs: number,
): { readonly scene: Scene; readonly ns: string } {
  const scene = openBusScene(cluster, ns, sessionMs);
  closing.push(() => scene.close());
  return { scene, ns };
}
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

kafkaSuite('instances killed one after the other', (suite) => {
  test('fail no idempotent request, and end other requests only in ResponderLost', async () => {
    const { scene } = opened(suite, 6_000);
    const bus = await scene.open('web');
    let shops = [await scene.start(), await scene.start()];
    let stopped = false;
    const load = async (ask: () => ReturnType<Bus['tryRequest']>, ends: Map<string, number>): Promise<void> => {
      while (!stopped) {
        const result = await ask();
        const end = result.ok ? 'ok' : (result.error as { code: string }).code; // failures and bus errors both have one
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
    };
    const [again, once] = [new Map<string, number>(), new Map<string, number>()];
    const options = { timeoutMs: 60_000 };
    const loads = Array.from({ length: 10 }, () => [
      load(() => bus.tryRequest(shop.slowAgain, { ms: 20 }, options), again),
      load(() => bus.tryRequest(shop.slow, { ms: 20 }, options), once),
    ]);
    const answered = (): number => Math.min(again.get('ok') ?? 0, once.get('ok') ?? 0);
    await scene.until(() => answered() > 50, 60_000);
    for (let round = 0; round < 3; round++) {
      const [leaver, ...stay] = shops;
      shops = [...stay, await scene.start()];
      leaver?.kill('SIGKILL');
      const before = answered();
      await scene.until(() => answered() > before + 200, 60_000);
    }
    stopped = true;
    await Promise.all(loads.flat());
    expect([...again.keys()]).toEqual(['ok']);
    expect([...once.keys()].sort()).toEqual(['ResponderLost', 'ok']);
  });
});

kafkaSuite('instances restarted one after the other', (suite) => {
  test('hand each partition over without waiting for a session to expire', async () => {
    const sessionMs = 30_000; // far longer than a hand-over takes on a slow machine
    const { scene, ns } = opened(suite, sessionMs);
    const queue = queueOf('shop', 'work');
    const jobs = new Jobs(scene, suite.cluster.brokers, ns);
    closing.push(() => jobs.close());
    const shops = await Promise.all(Array.from({ length: 4 }, () => scene.start('tells')));
    jobs.start(await scene.open('web'));
    await jobs.goesOn(200, 90_000);
    for (const { kill, ended } of shops) {
      kill('SIGTERM');
      expect(await ended).toBe(0);
      await scene.start('tells');
      await jobs.goesOn(100, 90_000);
    }
    expect(await jobs.audit()).toEqual([]);
    const { gapMs, moves } = longestGapMs(scene.lines(), queue);
    expect(moves).toBeGreaterThanOrEqual(12);
    expect(gapMs).toBeLessThan(sessionMs / 2); // `npm run bench -- rolling` measures the exact time
  });
});

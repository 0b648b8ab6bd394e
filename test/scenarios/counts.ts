/** Exact counts of waiting messages by queue and by entry, and their inspection in order (IMP-6). */
import { openBus, type Bus } from 'busbar';
import { inspect, type Inspector } from 'busbar/inspect';
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import { count, ms, type Figure } from './figures';
import { isTimely, onKafka, until, withAdmin, type Around, type Scenario } from './scene';

const Numbered = z.object({ n: z.number() });
const entries = ['add', 'resize', 'rotate', 'index', 'remove'] as const;
const press = defineModule('press', {
  add: work(Numbered),
  resize: work(Numbered),
  rotate: work(Numbered),
  index: work(Numbered),
  remove: work(Numbered),
});
const queue = 'press.work';
/** Share of each entry in the messages, so that equal counts cannot be right by accident. */
const shares = [0.1, 0.15, 0.2, 0.25, 0.3] as const;
const countsWithinMs = 1_000;
const seenWithinMs = 1_000;

export const counts: Scenario = {
  title: 'exact counts by queue and entry, with the receiver absent, paused and running',
  run: async (around) => look(around),
};

async function look(around: Around): Promise<readonly Figure[]> {
  const messages = around.short ? 2_000 : 10_000;
  const given = onKafka(around);
  await using sender = await openBus({ log: false, module: 'sender', ...given });
  const sent = shares.map((share) => Math.round(messages * share));
  for (const [at, entry] of entries.entries()) {
    await sender.submitAll(
      press[entry],
      Array.from({ length: sent[at] ?? 0 }, (_, n) => ({ n })),
    );
  }
  await using inspection = await inspect(given);
  const { inspector } = inspection;
  const figures: Figure[] = [];
  figures.push(...(await judge(around, inspector, 'absent', messages, sent)));

  const paused = entries.map((entry) => `press.${entry}.paused`);
  for (const name of paused) await inspection.settings.set(name, 'true', 0);
  const handled = { count: 0, firstMs: 0 };
  await using bus = await openBus({ log: false, module: press, ...given });
  await serve(bus, handled);
  await until('the instance owns the queue', 60_000, async () => (await viewOf(inspector)).instances === 1);
  const before = await committedOf(around);
  figures.push(...(await judge(around, inspector, 'paused', messages, sent)));
  const isSame = before === (await committedOf(around));
  const unsetMs = performance.now();
  for (const name of paused) await inspection.settings.set(name, null, 1);
  await until('all are handled', 120_000, () => handled.count >= messages);
  await until('the count is 0', 60_000, async () => (await viewOf(inspector)).waiting === 0);
  figures.push(...(await judge(around, inspector, 'running', 0, [0, 0, 0, 0, 0])));
  const seenMs = handled.firstMs - unsetMs;
  figures.push(
    {
      row: 'IMP-6',
      what: 'offsets of the group after inspecting it',
      authors: '',
      ours: isSame ? 'unchanged' : 'MOVED',
      ok: isSame,
    },
    {
      row: 'IMP-9',
      what: 'from a changed setting to the first handler',
      authors: 'ConfD',
      ours: ms(seenMs),
      ok: seenMs >= 0 && isTimely(around, seenMs, seenWithinMs),
    },
  );
  return figures;
}

async function serve(bus: Bus, handled: { count: number; firstMs: number }): Promise<void> {
  const handle = (): void => {
    if (handled.count++ === 0) handled.firstMs = performance.now();
  };
  await bus.serve(press, { add: handle, resize: handle, rotate: handle, index: handle, remove: handle });
}

async function viewOf(inspector: Inspector): Promise<Awaited<ReturnType<Inspector['queues']>>[number]> {
  const [view] = await inspector.queues([queue]);
  if (!view) throw new Error(`the inspector does not list ${queue}`);
  return view;
}

async function judge(
  around: Around,
  inspector: Inspector,
  receiver: string,
  expected: number,
  sent: readonly number[],
): Promise<readonly Figure[]> {
  const beganMs = performance.now();
  const view = await viewOf(inspector);
  const tookMs = performance.now() - beganMs;
  const byEntry = new Map<string, number>(entries.map((entry) => [`press.${entry}`, 0]));
  let inOrder = true;
  let beforeMs = 0;
  for await (const { entry, sentMs } of inspector.peek(queue)) {
    byEntry.set(entry, (byEntry.get(entry) ?? 0) + 1);
    inOrder &&= (sentMs ?? 0) >= beforeMs - 1_000; // partitions are merged by the time of the broker
    beforeMs = sentMs ?? 0;
  }
  const found = [...byEntry.values()];
  return [
    {
      row: 'IMP-6',
      what: `waiting, receiver ${receiver}`,
      authors: 'cannot be seen',
      ours: `${count(view.waiting)}${view.exact ? '' : ' (not exact)'} of ${count(expected)} in ${ms(tookMs)}`,
      ok: view.exact && view.waiting === expected && isTimely(around, tookMs, countsWithinMs),
    },
    {
      row: 'IMP-6',
      what: `by entry, receiver ${receiver}`,
      authors: 'cannot be seen',
      ours: found.map(count).join(' + '),
      ok: inOrder && found.join() === sent.join(),
    },
  ];
}

/** Returns the committed offsets of the group, as Kafka's own admin client reads them. */
async function committedOf(around: Around): Promise<string> {
  return withAdmin(around, async (admin) => {
    const { groups } = await admin.listGroups();
    const mine = groups.filter(({ groupId }) => groupId.startsWith(around.ns)).map(({ groupId }) => groupId);
    const offsets = await Promise.all(mine.map((groupId) => admin.fetchOffsets({ groupId })));
    return JSON.stringify(offsets);
  });
}

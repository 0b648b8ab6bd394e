/** Workers behind their sender: exact lag, more workers than partitions, poison, slow handlers (CA-7 to 9, 11, 12). */
import { isBusError, openBus, type Bus } from 'busbar';
import { inspect, type Inspector } from 'busbar/inspect';
import { countIn } from 'busbar/telemetry';
import { Registry } from 'prom-client';
import { z } from 'zod';
import { defineModule, work } from '../../src/index';
import { count, ms, type Figure } from './figures';
import { later, onKafka, recordsOf, until, type Around, type Scenario } from './scene';

const Keyed = z.object({ key: z.string(), n: z.number(), text: z.string().default('') });
const keyed = { key: ({ key }: { readonly key: string }) => key };
const orders = defineModule('orders', { book: work(Keyed, keyed) });
const attempts = 3;
const bills = defineModule('bills', {
  pay: work(Keyed, { ...keyed, attempts, backoffMs: 20 }),
  scan: work(Keyed, keyed),
  note: work(Keyed, keyed),
});
const ordersQueue = 'orders.work';
const billsQueue = 'bills.work';
/** Time without a heartbeat after which the group removes a member. The author's limit between two polls was 3 s. */
const sessionMs = 6_000;
const partitions = 12;
/** Two more than there are partitions. */
const workersMax = 14;
const keys = 96;

export const working: Scenario = {
  title: 'a worker that lags and catches up, 14 workers, a poison message, and a handler slower than its session',
  async run(around) {
    await using look = await inspect(onKafka(around)).catch(async () => {
      // The first bus of a namespace creates what an inspection reads.
      await using first = await openBus({ log: false, module: 'sender', ...onKafka(around) });
      around.say(`${first.self.instance} is open`);
      return inspect(onKafka(around));
    });
    return (await Promise.all([lag(around, look.inspector), endure(around, look.inspector)])).flat();
  },
};

/** A handler that can be held. */
class Gate {
  open = (): void => undefined;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}

async function lag(around: Around, inspector: Inspector): Promise<readonly Figure[]> {
  const messages = around.short ? 240 : 3_000;
  const heldAfter = messages / 4;
  const [sent, received] = [new Registry(), new Registry()];
  await using sender = await openBus({ log: false, module: 'sender', ...onKafka(around) });
  await using worker = await openBus({ log: false, module: orders, ...onKafka(around) });
  const stops = [countIn(sender, sent), countIn(worker, received)];
  const handled = new Set<number>();
  const held = new Gate();
  await worker.serve(
    orders,
    {
      book: async ({ n }) => {
        if (handled.size === heldAfter) await held.opened;
        await later(around.short ? 1 : 3);
        handled.add(n);
      },
    },
    { concurrency: 1 },
  );
  const isRefused = await sender.submit(orders.book, { key: 'k', n: -1, text: 'x'.repeat(2_000_000) }).then(
    () => false,
    (error: unknown) => isBusError(error, 'TooLarge'),
  );
  const inputs = Array.from({ length: messages }, (_, n) => ({ key: `k${n % keys}`, n, text: '' }));
  const places = (await sender.submitAll(orders.book, inputs)).map(({ place }) => place?.partition ?? -1);
  await until('the worker is held', 120_000, () => handled.size === heldAfter);
  const expected = messages - heldAfter;
  await until('the count is exact', 30_000, async () => (await lagOf(inspector)) === expected);
  const [again, byPartition] = [await lagOf(inspector), await countByPartition(inspector)];
  const waiting = places.filter((_, n) => !handled.has(n));
  const isExact = tally(waiting) === tally(byPartition);
  const releasedMs = performance.now();
  held.open();
  await until('it has caught up', 300_000, async () => (await lagOf(inspector)) === 0);
  const figures: Figure[] = [
    {
      row: 'CA-8',
      what: `lag of one worker after ${count(heldAfter)} of ${count(messages)}, and after all`,
      authors: 'a curve, no figure',
      ours: `${count(again)}, 0 after ${ms(performance.now() - releasedMs)}`,
      ok: again === expected,
    },
    {
      row: 'CA-8',
      what: `lag by partition, ${partitions} partitions`,
      authors: 'a curve, no figure',
      ours: isExact ? 'exact' : `${tally(byPartition)} instead of ${tally(waiting)}`,
      ok: isExact,
    },
    await metrics(around, { sent, received, messages, isRefused }),
  ];
  for (const stop of stops) stop();
  await worker.close();
  return [...figures, ...(await share(around, inspector, sender, places))];
}

const tally = (all: readonly number[]): string =>
  Array.from({ length: partitions }, (_, partition) => all.filter((one) => one === partition).length).join();

async function lagOf(inspector: Inspector): Promise<number> {
  const [view] = await inspector.queues([ordersQueue]);
  if (!view?.exact) return -1;
  return view.waiting + view.running;
}
async function countByPartition(inspector: Inspector): Promise<readonly number[]> {
  const found: number[] = [];
  for await (const { partition } of inspector.peek(ordersQueue)) found.push(partition);
  return found;
}

interface Counted {
  readonly sent: Registry;
  readonly received: Registry;
  readonly messages: number;
  readonly isRefused: boolean;
}
/** Compares the counters of the sender and of the worker with the log. */
async function metrics(around: Around, { sent, received, messages, isRefused }: Counted): Promise<Figure> {
  const found = [
    await sum(sent, 'busbar_messages_sent_total', 'busbar_messages_sent_total'),
    await sum(received, 'busbar_messages_handled_total', 'busbar_messages_handled_total'),
    await sum(received, 'busbar_handler_duration_seconds', 'busbar_handler_duration_seconds_count'),
    await recordsOf(around, `${around.ns}.${ordersQueue}`),
  ];
  return {
    row: 'CA-7',
    what: 'sent, handled, timed by the counters; sum of the end offsets; one more call was rejected',
    authors: 'four metrics and the offsets',
    ours: found.map(count).join(', '),
    ok: isRefused && found.every((one) => one === messages),
  };
}
/** Returns the sum of a counter, or of one series of a histogram, over the entries of `orders`. */
async function sum(registry: Registry, metric: string, name: string): Promise<number> {
  const found = (await registry.getMetricsAsJSON()).find((one) => one.name === metric);
  const values: readonly Sample[] = found?.values ?? [];
  return values.reduce((total, { value, labels, metricName = metric }) => {
    return total + (metricName === name && labels.entry === orders.book.name ? value : 0);
  }, 0);
}
interface Sample {
  readonly value: number;
  readonly labels: Readonly<Partial<Record<string, string | number>>>;
  readonly metricName?: string;
}

/** Opens more workers than there are partitions, then sends jobs of 12 keys in 3 partitions. */
async function share(
  around: Around,
  inspector: Inspector,
  sender: Bus,
  places: readonly number[],
): Promise<readonly Figure[]> {
  const buses: Bus[] = [];
  const all = new Gate();
  let [running, most] = [0, 0];
  const book = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await all.opened;
    running--;
  };
  try {
    const open = async (): Promise<void> => {
      const bus = await openBus({ log: false, module: orders, ...onKafka(around) });
      buses.push(bus);
      await bus.serve(orders, { book }, { concurrency: 4 });
    };
    await Promise.all(Array.from({ length: workersMax }, open));
    let owned: readonly number[] = [];
    const spread = `${'1'.repeat(partitions)}${'0'.repeat(workersMax - partitions)}`;
    await until('the partitions are shared', 60_000, async () => {
      const found = await inspector.instances('orders');
      owned = found.map(({ status }) => status?.queues[0]?.partitions.length ?? -1);
      return owned.toSorted((a, b) => b - a).join('') === spread;
    });
    const few = [...new Set(places)].slice(0, 3);
    const chosen = few.flatMap((partition) => {
      const of = places.flatMap((one, n) => (one === partition && n < keys ? [`k${n}`] : []));
      return of.slice(0, 4);
    });
    await sender.submitAll(
      orders.book,
      chosen.map((key, n) => ({ key, n })),
    );
    await until('all of them run', 30_000, () => most >= chosen.length).catch(() => undefined); // the figure fails
    const idle = owned.filter((one) => one === 0).length;
    return [
      {
        row: 'CA-9',
        what: `${workersMax} workers on ${partitions} partitions`,
        authors: '12 threads, 9 partitions: 3 idle',
        ours: `${owned.length - idle} own one each, ${idle} none`,
        ok: idle === workersMax - partitions,
      },
      {
        row: 'CA-9',
        what: `handlers at once for ${chosen.length} keys in ${few.length} partitions`,
        authors: 'one for each partition',
        ours: count(most),
        ok: most === chosen.length && chosen.length > few.length,
      },
    ];
  } finally {
    all.open();
    await Promise.all(buses.map((bus) => bus.close()));
  }
}

/** Sends a message that always fails and one whose handler exceeds the session, beside others of all partitions. */
async function endure(around: Around, inspector: Inspector): Promise<readonly Figure[]> {
  const slowMs = around.short ? sessionMs + 1_000 : 3 * sessionMs;
  const notes = around.short ? 120 : 1_200;
  const given = { ...onKafka(around), sessionMs };
  await using sender = await openBus({ log: false, module: 'sender', ...given });
  const calls: string[] = [];
  let noted = 0;
  let lost = 0;
  const open = async (): Promise<Bus> => {
    const bus = await openBus({ log: false, module: bills, ...given });
    bus.watch((notice) => {
      if (notice.type === 'partition' && notice.change === 'lost') lost++;
    });
    await bus.serve(bills, {
      pay: (_, { attempt }) => {
        calls.push(`pay ${attempt}`);
        throw new Error('no such account');
      },
      scan: async (_, { attempt }) => {
        calls.push(`scan ${attempt}`);
        await later(slowMs);
        await until('the other messages are handled', 60_000, () => noted === notes);
        calls.push('scanned');
      },
      note: ({ key }) => {
        noted++;
        if (key === 'poison') calls.push('noted behind the poison');
      },
    });
    return bus;
  };
  const buses = [await open(), await open()];
  try {
    const slow = (await sender.submit(bills.scan, { key: 'slow', n: 0 })).place?.partition;
    await sender.submit(bills.pay, { key: 'poison', n: 0 });
    const sent = await sender.submitAll(
      bills.note,
      Array.from({ length: notes }, (_, n) => ({ key: n === 0 ? 'poison' : `k${n % keys}`, n })),
    );
    const beside = sent.filter(({ place }) => place?.partition === slow).length;
    await until('the slow handler has ended', slowMs + 90_000, () => calls.includes('scanned'));
    await until('the poison is parked', 60_000, () => calls.includes('noted behind the poison'));
    const parked: number[] = [];
    for await (const { attemptCount } of inspector.parked(billsQueue)) parked.push(attemptCount);
    const isWell = buses.every((bus) => bus.health().ready);
    const paid = calls.filter((call) => call.startsWith('pay'));
    const scanned = calls.filter((call) => call.startsWith('scan '));
    const alarms = await alarmsOf(inspector);
    await Promise.all(buses.map((bus) => bus.close()));
    await sender.submit(bills.note, { key: 'k0', n: notes });
    const alarmsWithout = await alarmsOf(inspector);
    return [
      {
        row: 'CA-11',
        what: 'a message that always fails: attempts, parked; workers after it; alarm',
        authors: 'each thread dies in turn, health green',
        ours: `${paid.length}, ${parked.length}; ${isWell ? 'ready' : 'NOT READY'}; ${alarms.join()}`,
        ok: paid.join() === 'pay 1,pay 2,pay 3' && parked.join() === '3' && isWell && alarms.includes('parked'),
      },
      {
        row: 'CA-11',
        what: 'alarm when messages wait and no worker runs',
        authors: 'health green',
        ours: alarmsWithout.join(),
        ok: alarmsWithout.includes('no instance'),
      },
      {
        row: 'CA-12',
        what: `a handler of ${ms(slowMs)}, session ${ms(sessionMs)}: calls, lost partitions, handled beside it`,
        authors: 'ejected, two threads on one message',
        ours: `${scanned.length}, ${lost}, ${count(noted)} (${beside} in its partition)`,
        ok: scanned.join() === 'scan 1' && lost === 0 && noted === notes && beside > 0,
      },
    ];
  } finally {
    await Promise.all(buses.map((bus) => bus.close()));
  }
}

async function alarmsOf(inspector: Inspector): Promise<readonly string[]> {
  return (await inspector.status()).alarms.filter(({ about }) => about === billsQueue).map(({ what }) => what);
}

/** Broadcasts to 1, 10 and 100 instances beside shared work and requests among the same instances (IMP-5, IMP-10). */
import { openBus, type Bus } from 'busbar';
import { z } from 'zod';
import { broadcast, defineModule, request, work } from '../../src/index';
import { count, ms, percentile, type Figure } from './figures';
import { onKafka, recordsOf, until, type Around, type Scenario } from './scene';

const Numbered = z.object({ n: z.number() });
const panel = defineModule('panel', {
  refresh: broadcast(Numbered),
  draw: work(Numbered),
  ask: request(Numbered, z.string()),
});

export const broadcasts: Scenario = {
  title: 'one record for each broadcast, for 1, 10 and 100 receivers; shared work and requests beside it',
  async run(around) {
    const figures: Figure[] = [];
    for (const receivers of around.short ? [1, 10] : [1, 10, 100]) {
      figures.push(...(await send({ ...around, ns: `${around.ns}-${receivers}` }, receivers)));
    }
    return figures;
  },
};

interface Receiver {
  readonly bus: Bus;
  readonly refreshed: number[];
  readonly drawn: number[];
}

async function send(around: Around, receivers: number): Promise<readonly Figure[]> {
  const messages = around.short ? 100 : 1_000;
  const buses: Bus[] = [];
  try {
    const sender = await openBus({ log: false, module: 'sender', ...onKafka(around) });
    buses.push(sender);
    const all: Receiver[] = [];
    for (let n = 0; n < receivers; n++) {
      const one = await openReceiver(around);
      buses.push(one.bus);
      all.push(one);
    }
    around.say(`${receivers} receivers are open`);
    await sender.requestAll(panel.ask, { n: -1 }, { timeoutMs: 60_000 }); // every instance is known to the sender
    const topic = `${around.ns}.panel.broadcast`;
    const before = await recordsOf(around, topic);
    const beganMs = performance.now();
    const numbers = Array.from({ length: messages }, (_, n) => n);
    for (const n of numbers) await sender.broadcast(panel.refresh, { n });
    await sender.submitAll(
      panel.draw,
      numbers.map((n) => ({ n })),
    );
    const answers: string[] = [];
    const answerMs: number[] = [];
    for (const n of numbers) {
      const sentMs = performance.now();
      answers.push(await sender.request(panel.ask, { n }, { timeoutMs: 30_000 }));
      answerMs.push(performance.now() - sentMs);
    }
    const drawn = (): number => all.reduce((sum, one) => sum + one.drawn.length, 0);
    const isComplete = (): boolean => drawn() >= messages && all.every(({ refreshed }) => refreshed.length >= messages);
    await until('all are received', 120_000, isComplete);
    around.say(`${receivers} receivers: ${ms(performance.now() - beganMs)}`);
    const records = (await recordsOf(around, topic)) - before;
    const isInOrder = all.every(({ refreshed }) => refreshed.join() === numbers.join());
    const different = new Set(all.flatMap((one) => one.drawn)).size;
    const of = `${receivers} ${receivers === 1 ? 'receiver' : 'receivers'}`;
    return [
      {
        row: 'IMP-5',
        what: `records of ${count(messages)} broadcasts, ${of}`,
        authors: `${count(messages * receivers)} sends`,
        ours: count(records),
        ok: records === messages,
      },
      {
        row: 'IMP-5',
        what: `received by each, in order, ${of}`,
        authors: '',
        ours: isInOrder ? `${count(messages)} each` : 'DIFFERENT',
        ok: isInOrder,
      },
      {
        row: 'IMP-10',
        what: `shared work among ${of}`,
        authors: '',
        ours: `${count(drawn())} handled, ${count(different)} different`,
        ok: drawn() === messages && different === messages,
      },
      {
        row: 'IMP-5',
        what: `requests to one of ${of}`,
        authors: '',
        ours: `${count(answers.length)} replies, p50 ${ms(percentile(answerMs, 0.5))}`,
        ok: answers.length === messages,
      },
    ];
  } finally {
    await Promise.all(buses.map((bus) => bus.close()));
  }
}

async function openReceiver(around: Around): Promise<Receiver> {
  const bus = await openBus({ log: false, module: panel, ...onKafka(around) });
  const refreshed: number[] = [];
  const drawn: number[] = [];
  await bus.serve(panel, {
    refresh: ({ n }) => void refreshed.push(n),
    draw: ({ n }) => void drawn.push(n),
    ask: () => bus.self.instance,
  });
  return { bus, refreshed, drawn };
}

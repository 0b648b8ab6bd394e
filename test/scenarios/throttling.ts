/**
 * The producer simulation of the integration blog: 28,765 messages of 100 KB at a rising rate, to brokers that throttle
 * each client to 1 MiB/s. First plain producers with the author's settings, and beside them busbar (CA-1, CA-2, CA-4).
 */
import { join } from 'node:path';
import { spool } from 'busbar/inspect';
import { Kafka, logLevel } from 'kafkajs';
import { count, mib, ms, percentile, type Figure } from './figures';
import { authorsTicks, eventsOf, faster, shortTicks } from './schedule';
import {
  alterQuota,
  later,
  onKafka,
  recordsOf,
  startChild,
  until,
  withAdmin,
  type Around,
  type Child,
  type Scenario,
} from './scene';
import type { ConsumerReport, PlainCase, PlainGiven, PlainReport, PublisherGiven, PublisherReport } from './throttled';

const program = join(__dirname, 'throttledchild.ts');
const eventBytes = 102_400;
const partitions = 9;
const brokers = 3;
/** The author's quota of each client at each broker, in bytes per second. */
const authorsQuota = 1_048_576;
/** The author's messages per second that three brokers accept with this quota. */
const acceptedPerSecond = Math.floor((brokers * authorsQuota) / eventBytes);
/** Twice what one topic needs at the end of the schedule, since a topic can take half of the spool. */
const spoolBytesMax = 2 * 1024 ** 3;
const p99MsMax = 50;
const p99TimesMax = 3;
const submitMsMax = 500;

export const throttling: Scenario = {
  title: '28,765 × 100 KB at a rising rate to throttled brokers: plain producers, and busbar beside them',
  run: async (around) => throttle(around),
};

/** Sizes of a run. */
interface Size {
  readonly short: boolean;
  readonly speed: number;
  readonly ticks: ReturnType<typeof authorsTicks>;
  readonly quota: number;
  readonly of: string;
}
function sizeOf({ short, speed }: Around): Size {
  if (short) {
    const quota = authorsQuota / 4;
    const of = `short: ${eventsOf(shortTicks())} events, times ÷ 4, ${mib(quota)}/s per client and broker`;
    return { short, speed: 4, ticks: faster(shortTicks(), 4), quota, of };
  }
  const quota = authorsQuota * speed;
  const of = `times ÷ ${speed}, ${mib(quota)}/s per client and broker`;
  return { short, speed, ticks: faster(authorsTicks(), speed), quota, of };
}

async function throttle(around: Around): Promise<readonly Figure[]> {
  const { cluster, ns, short, say } = around;
  const size = sizeOf(around);
  say(size.of);
  const cases: readonly PlainCase[] = [
    { clientId: `${ns}-2`, topic: `${ns}-case2`, getMs: 15_000, retriesMs: [] },
    { clientId: `${ns}-4`, topic: `${ns}-case4`, getMs: 1_000, retriesMs: [500, 500] },
  ];
  await withAdmin(around, (admin) =>
    admin.createTopics({
      waitForLeaders: true,
      topics: cases.map(({ topic }) => ({ topic, numPartitions: partitions, replicationFactor: brokers })),
    }),
  );
  const start = (role: string, given: unknown): Child => startChild(program, [role, JSON.stringify(given)]);
  const bus = onKafka(around);
  const spoolDir = join(around.dir, 'spool');
  const { ticks, speed, quota } = size;
  const consumer = start('consumer', bus);
  const publisher = start('publisher', {
    bus: { ...bus, spool: spoolDir, spoolBytesMax },
    dir: around.dir,
    ticks,
    bytes: eventBytes,
    unthrottledPerTickMax: acceptedPerSecond,
  } satisfies PublisherGiven);
  const plain = start('plain', {
    brokers: cluster.brokers.split(','),
    cases,
    ticks,
    bytes: eventBytes,
    speed,
  } satisfies PlainGiven);
  const throttledIds: string[] = [];
  try {
    const [publisherId] = await Promise.all([publisher.next('open'), consumer.next('open'), plain.next('open')]);
    throttledIds.push(String(publisherId), ...cases.map(({ clientId }) => clientId));
    for (const id of throttledIds) await alterQuota(around, id, quota);
    say('the quotas are set');

    publisher.send('start');
    plain.send('start');
    const samples = new Samples(spoolDir, publisher);
    const sampled = samples.run();
    const withinMs = 2 * (ticks.at(-1)?.atMs ?? 0) + 600_000;
    const published = (await publisher.next('done', withinMs)) as PublisherReport; // `publish` returns it
    const endMs = performance.now();
    say(`all is scheduled; ${count(samples.last)} wait`);
    if (short) await alterQuota(around, String(publisherId), null);
    const received = await countsWhen(consumer, ({ different }) => different >= published.accepted);
    await until('the spool is empty', 60_000, () => samples.last === 0);
    const drainMs = performance.now() - endMs;
    samples.stop();
    await sampled; // takes a last sample
    // The plain producers still retry what waits in their queue. Without a quota they end soon.
    for (const { clientId } of cases) await alterQuota(around, clientId, null);
    const reports = (await plain.next('done', withinMs)) as readonly PlainReport[]; // `runPlain` returns it
    for (const one of [publisher, consumer]) one.send('close');
    const stored = await recordsOf(around, `${ns}.endless.work`);

    const figures: Figure[] = [];
    for (const [at, one] of cases.entries()) {
      const report = reports[at];
      if (report) figures.push(...(await plainFigures(around, one, report)));
    }
    return [...figures, ...busFigures(size, { published, received, stored, samples, drainMs })];
  } finally {
    await Promise.all([publisher, consumer, plain].map((child) => child.kill()));
    for (const id of throttledIds) await alterQuota(around, id, null);
  }
}

/** Samples of a publisher, and of its spool as the inspector shows it. */
class Samples {
  /** Most messages that waited, and their bytes. */
  peak = 0;
  peakBytes = 0;
  /** Messages that waited in the last sample. */
  last = 0;
  memoryBytes = 0;
  #running = true;

  constructor(
    private readonly dir: string,
    private readonly publisher: Child,
  ) {}

  async run(): Promise<void> {
    for (let isLast = false; !isLast;) {
      isLast = !this.#running;
      this.publisher.send('counts');
      const { memoryBytes } = (await this.publisher.next('counts')) as PublisherReport; // `publish` returns it
      const { waiting } = await spool(this.dir);
      this.last = waiting.reduce((sum, { messages }) => sum + messages, 0);
      const bytes = waiting.reduce((sum, one) => sum + one.bytes, 0);
      this.peak = Math.max(this.peak, this.last);
      this.peakBytes = Math.max(this.peakBytes, bytes);
      this.memoryBytes = Math.max(this.memoryBytes, memoryBytes);
      if (!isLast) await later(500);
    }
  }
  stop(): void {
    this.#running = false;
  }
}

async function countsWhen(consumer: Child, isComplete: (report: ConsumerReport) => boolean): Promise<ConsumerReport> {
  let last: ConsumerReport = { received: 0, different: 0 };
  await until('all events are received', 900_000, async () => {
    consumer.send('counts');
    last = (await consumer.next('counts')) as ConsumerReport; // `consume` returns it
    return isComplete(last);
  });
  return last;
}

async function plainFigures(around: Around, one: PlainCase, report: PlainReport): Promise<readonly Figure[]> {
  const { records, different } = await readTopic(around, one.topic);
  const { scheduled, exhausted, failed, calls } = report;
  const missing = scheduled - different;
  const surplus = records - different;
  const isCase2 = one.retriesMs.length === 0;
  const name = isCase2 ? 'case 2' : `case 4, ${one.retriesMs.length + 1} attempts`;
  const [first, second]: readonly [string, string] = isCase2
    ? ['145 missing of 28,765 (99.5 %)', '0']
    : ['not counted', '5,689 surplus (19.8 %)'];
  const share = (part: number): string => `${((100 * part) / scheduled).toFixed(1)} %`;
  return [
    {
      row: isCase2 ? 'CA-2' : 'CA-4',
      what: `plain kafkajs, ${name}: missing`,
      authors: first,
      ours: `${count(missing)} of ${count(scheduled)} (${share(missing)}); ${exhausted} exhausted, ${failed} failed`,
      ok: isCase2 ? missing > 0 : undefined,
    },
    {
      row: isCase2 ? 'CA-2' : 'CA-4',
      what: `plain kafkajs, ${name}: surplus`,
      authors: second,
      ours: `${count(surplus)} (${share(surplus)}) in ${count(calls)} calls`,
      ok: isCase2 ? undefined : surplus > 0,
    },
  ];
}

/** Reads a topic to its end, and counts its records and their different keys. */
async function readTopic(around: Around, topic: string): Promise<{ records: number; different: number }> {
  const total = await recordsOf(around, topic);
  const kafka = new Kafka({
    brokers: around.cluster.brokers.split(','),
    clientId: 'count',
    logLevel: logLevel.NOTHING,
  });
  const consumer = kafka.consumer({ groupId: `${topic}-count` });
  const different = new Set<string>();
  let records = 0;
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({
      eachMessage: async ({ message }) => {
        records++;
        different.add(String(message.key));
        return Promise.resolve();
      },
    });
    await until(`${topic} is read`, 600_000, () => records >= total);
  } finally {
    await consumer.disconnect();
  }
  return { records, different: different.size };
}

interface Outcome {
  readonly published: PublisherReport;
  readonly received: ConsumerReport;
  /** Records of the topic. */
  readonly stored: number;
  readonly samples: Samples;
  readonly drainMs: number;
}
function busFigures(
  { short, ticks, of }: Size,
  { published, received, stored, samples, drainMs }: Outcome,
): readonly Figure[] {
  const expected = eventsOf(ticks);
  const { accepted, rejected, beforeMs, throttledMs, probed } = published;
  const missing = accepted - received.different;
  const surplus = received.received - received.different;
  const [before, throttled] = [percentile(beforeMs, 0.99), percentile(throttledMs, 0.99)];
  const maxMs = [...beforeMs, ...throttledMs].reduce((most, one) => Math.max(most, one), 0);
  const codes = Object.entries(rejected).map(([code, times]) => `, ${count(times)} ${code}`);
  return [
    {
      row: 'CA-1',
      what: `busbar: accepted (${of})`,
      authors: '28,765 scheduled, 28,620 accepted',
      ours: `${count(accepted)} of ${count(expected)}${codes.join('')}`,
      ok: accepted === expected,
    },
    {
      row: 'CA-2',
      what: 'busbar: missing',
      authors: '145',
      ours: `${count(missing)}`,
      ok: missing === 0,
    },
    {
      row: 'CA-4',
      what: 'busbar: surplus; records in the topic',
      authors: '5,689',
      ours: `${count(surplus)}; ${count(stored)}`,
      ok: surplus === 0 && stored === accepted,
    },
    {
      row: 'CA-1',
      what: 'busbar: p99 of submit, before and while throttled',
      authors: 'ms, then 1.5 s',
      ours: `${ms(before)}, ${ms(throttled)}; longest ${ms(maxMs)}`,
      // A short run shares its processors with other tests, so its times are not judged.
      ok: short
        ? undefined
        : throttled <= Math.min(p99MsMax, Math.max(1, before * p99TimesMax)) && maxMs <= submitMsMax,
    },
    {
      row: 'CA-1',
      what: 'beside it, p99 and longest: write and fdatasync of 100 KB; delay of a timer; wait for a processor',
      authors: '',
      ours: [probed.diskMs, probed.loopMs, probed.processorMs]
        .map((all) => `${ms(percentile(all, 0.99))}, ${ms(Math.max(0, ...all))}`)
        .join('; '),
      ok: undefined,
    },
    {
      row: 'CA-1',
      what: 'busbar: most that the inspector showed as waiting, time to 0',
      authors: 'about 5,200; 169 s (calculated)',
      ours: `${count(samples.peak)} (${mib(samples.peakBytes)}); ${samples.last === 0 ? ms(drainMs) : `${samples.last} left`}`,
      ok: samples.peak > 0 && samples.last === 0,
    },
    {
      row: 'CA-2',
      what: 'busbar: private memory of the publisher at most',
      authors: 'buffer of 2 MB',
      ours: mib(samples.memoryBytes),
      ok: undefined,
    },
  ];
}

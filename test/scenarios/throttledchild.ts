/** One process of the producer simulation: plain producers, a publisher on a bus, or the consumer of its events. */
import { isBusError, openBus, type Bus } from 'busbar';
import type { BusGiven } from '../../src/options';
import { nothingProbed, probeDisk } from './disk-probe';
import { PlainProducer, within } from './plain';
import { runTicks } from './schedule';
import { later, onWord, privateBytes, tell } from './scene';
import {
  endless,
  type ConsumerReport,
  type PlainCase,
  type PlainGiven,
  type PlainReport,
  type PublisherGiven,
  type PublisherReport,
} from './throttled';

const [role = '', json = '{}'] = process.argv.slice(2);

const roles: Readonly<Record<string, (given: unknown) => Promise<void>>> = {
  // The scenario writes the arguments as JSON, with these types.
  plain: (given) => runPlain(given as PlainGiven),
  publisher: (given) => publish(given as PublisherGiven),
  consumer: (given) => consume(given as BusGiven),
};

/** Threads of the author's scheduler. Its queue is unbounded. */
const threadsMax = 50;

async function runPlain({ brokers, cases, ticks, bytes, speed }: PlainGiven): Promise<void> {
  const value = new Uint8Array(bytes).fill(0x61);
  const all = cases.map((one) => new PlainRun(one, brokers, value, speed));
  await Promise.all(all.map((one) => one.producer.connect()));
  tell('open');
  onWord('start', () => {
    void runTicks(ticks, (n) => {
      for (const one of all) one.schedule(n);
    })
      .then(() => Promise.all(all.map((one) => one.idle())))
      .then((): void =>
        tell(
          'done',
          all.map((one) => one.report()),
        ),
      );
  });
  process.on('disconnect', () => process.exit(0));
}

class PlainRun {
  readonly producer: PlainProducer;
  readonly #queue: number[] = [];
  readonly #running = new Set<Promise<void>>();
  #scheduled = 0;
  #confirmed = 0;
  #calls = 0;

  constructor(
    private readonly settings: PlainCase,
    brokers: readonly string[],
    private readonly value: Uint8Array,
    private readonly speed: number,
  ) {
    const { clientId, topic } = settings;
    this.producer = new PlainProducer({
      brokers,
      clientId,
      topic,
      bufferBytes: 2_097_152,
      blockMs: 5_000 / speed,
      requestMs: 8_000, // not divided: it is a time of the brokers
      deliveryMs: 30_000 / speed,
    });
  }

  schedule(n: number): void {
    this.#scheduled++;
    this.#queue.push(n);
    this.#start();
  }

  #start(): void {
    while (this.#running.size < threadsMax) {
      const n = this.#queue.shift();
      if (n === undefined) return;
      const running: Promise<void> = this.#publish(n).finally(() => {
        this.#running.delete(running);
        this.#start();
      });
      this.#running.add(running);
    }
  }

  /** Sends as the author's publisher does: waits for a time, and calls again after a failure or a late answer. */
  async #publish(n: number): Promise<void> {
    for (const waitMs of [...this.settings.retriesMs, undefined]) {
      this.#calls++;
      const sent = this.producer.send(`e${n}`, this.value);
      sent.catch(() => undefined); // counted by the producer; the caller can have stopped waiting
      try {
        await within(this.settings.getMs / this.speed, sent);
        this.#confirmed++;
        return;
      } catch {
        if (waitMs !== undefined) await later(waitMs / this.speed);
      }
    }
  }

  async idle(): Promise<void> {
    while (this.#queue.length + this.#running.size > 0) await Promise.all(this.#running);
    await this.producer.idle();
    await this.producer.close();
  }

  report(): PlainReport {
    const { exhausted, failed } = this.producer;
    return { scheduled: this.#scheduled, confirmed: this.#confirmed, calls: this.#calls, exhausted, failed };
  }
}

async function publish({ bus: given, dir, ticks, bytes: size, unthrottledPerTickMax }: PublisherGiven): Promise<void> {
  const bus = await openBus({ log: false, module: 'publisher', ...given });
  const bytes = new Uint8Array(size).fill(0x61);
  const beforeMs: number[] = [];
  const throttledMs: number[] = [];
  const rejected: Record<string, number> = {};
  const counts = { scheduled: 0, accepted: 0 };
  const one = async (n: number, isThrottled: boolean): Promise<void> => {
    counts.scheduled++;
    const sentMs = performance.now();
    try {
      await bus.submit(endless.event, { n, bytes });
      counts.accepted++;
    } catch (error) {
      const code = isBusError(error) ? error.code : String(error);
      rejected[code] = (rejected[code] ?? 0) + 1;
    }
    (isThrottled ? throttledMs : beforeMs).push(performance.now() - sentMs);
  };
  const probe = probeDisk(dir, size);
  let probed = nothingProbed;
  const report = (): PublisherReport => ({
    ...counts,
    rejected,
    beforeMs,
    throttledMs,
    probed,
    memoryBytes: privateBytes(),
  });
  onWord('counts', () => tell('counts', { ...report(), beforeMs: [], throttledMs: [] } satisfies PublisherReport));
  onWord('start', () => {
    const open: Promise<void>[] = [];
    const firstOver = ticks.findIndex(({ events }) => events > unthrottledPerTickMax);
    const throttledFrom = ticks.slice(0, firstOver).reduce((sum, { events }) => sum + events, 0);
    void runTicks(ticks, (n) => void open.push(one(n, firstOver >= 0 && n >= throttledFrom)))
      .then(() => Promise.all(open))
      .then(() => {
        probed = probe.read();
        probe.stop();
        tell('done', report());
      });
  });
  end(bus);
  tell('open', bus.self.instance);
}

async function consume(given: BusGiven): Promise<void> {
  const bus = await openBus({ log: false, module: endless, ...given });
  const different = new Set<number>();
  let received = 0;
  await bus.serve(endless, {
    event: ({ n }) => {
      received++;
      different.add(n);
    },
  });
  onWord('counts', () => tell('counts', { received, different: different.size } satisfies ConsumerReport));
  end(bus);
  tell('open', bus.self.instance);
}

function end(bus: Bus): void {
  onWord('close', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
}

void roles[role]?.(JSON.parse(json)).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

/**
 * Measures the cost of many senders. A worker handles a few jobs a second of one partition: first from one sender, then
 * from 10,000 senders in turn, as when cron runs `busbar submit`.
 */
import { Partitioners, type Message, type Producer } from 'kafkajs';
import { bytes, openKafka } from './kafkajs';
import { lineOf, middle, to, type Line, type Round } from './measure';
import { startChild, type Child } from './processes';
import { until, type Run } from './scenarios';

const sendersMany = 10_000;
const jobsPerS = 18;
const jobsEach = 270;
const listMax = 500;
const partition = 0;

/**
 * `cpu_us` is the worker's CPU time per job, `commit_bytes` the metadata of its commits. kafkajs writes the records, so
 * that no process has to be started for each sender.
 */
export async function senders(run: Run): Promise<readonly Line[]> {
  const worker = await startChild('worker', run.dir);
  const producer = openKafka().producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const scene = new Scene(worker, producer);
  const lines = [await scene.measure(run, 1)];
  await scene.introduce(sendersMany);
  lines.push(await scene.measure(run, sendersMany));
  await producer.disconnect();
  await worker.close();
  return lines;
}

class Scene {
  readonly #topic = `${process.env['BUSBAR_NS']}.bench.work`;
  #sent = 0;

  constructor(
    private readonly worker: Child,
    private readonly producer: Producer,
  ) {}

  /** Sends one job from each of `count` senders. */
  async introduce(count: number): Promise<void> {
    for (let n = 0; n < count; n += listMax)
      await this.#send(Array.from({ length: Math.min(listMax, count - n) }, () => this.#job(count)));
    await this.#handled();
  }

  async measure(run: Run, count: number): Promise<Line> {
    const rounds: Round[] = [];
    const commitBytes: number[] = [];
    for (let n = 0; n <= run.rounds; n++) {
      const round = await this.#round(count);
      commitBytes.push(await this.#commitBytes());
      if (n > 0) rounds.push(round);
      const percent = to(2, (round.cpuUs * round.perS) / 10_000);
      run.say(`senders ${count}: round ${n} of ${run.rounds}, ${percent} % CPU, ${commitBytes.at(-1)} bytes a commit`);
    }
    const cpuUs = rounds.map((round) => round.cpuUs);
    const spread = to(2, (Math.max(...cpuUs) - Math.min(...cpuUs)) / middle(cpuUs));
    return { ...lineOf('senders', 'busbar', count, rounds, run.way), spread, commit_bytes: Math.max(...commitBytes) };
  }

  async #round(count: number): Promise<Round> {
    const cpuBefore = Number(await this.worker.ask('cpu'));
    const startMs = performance.now();
    for (let n = 0; n < jobsEach; n++) {
      const dueMs = startMs + (n * 1_000) / jobsPerS;
      await new Promise((resolve) => setTimeout(resolve, dueMs - performance.now()));
      await this.#send([this.#job(count)]);
    }
    await this.#handled();
    const perS = (jobsEach * 1_000) / (performance.now() - startMs);
    return { perS, p50Ms: 0, p99Ms: 0, cpuUs: (Number(await this.worker.ask('cpu')) - cpuBefore) / jobsEach };
  }

  /** Returns the next job, of the sender whose turn it is. Job numbers rise, and so do the positions of each sender. */
  #job(count: number): Message {
    const n = this.#sent++;
    const incarnation = (n % count).toString(16).padStart(16, count === 1 ? 'f' : '0');
    return {
      partition,
      key: 'k',
      value: bytes,
      headers: { bus: `1 work bench.job job-${n} cron#1 ${incarnation}:${n}` },
    };
  }
  async #send(messages: Message[]): Promise<void> {
    await this.producer.send({ topic: this.#topic, acks: -1, messages });
  }
  #handled(): Promise<void> {
    return until(async () => Number(await this.worker.ask('count')) >= this.#sent);
  }

  async #commitBytes(): Promise<number> {
    const admin = openKafka().admin();
    await admin.connect();
    const offsets = await admin.fetchOffsets({ groupId: this.#topic, topics: [this.#topic] });
    await admin.disconnect();
    const states = offsets.flatMap(({ partitions }) =>
      partitions.map(({ metadata }) => Buffer.byteLength(metadata ?? '')),
    );
    return Math.max(0, ...states);
  }
}

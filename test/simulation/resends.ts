/**
 * Batches of unknown outcome on in-memory brokers: many senders that submit one job each, lost answers, delayed copies,
 * leader changes, and workers that hand over their partitions. Each job is handled once.
 */
import { isBusError } from '../../src/base/errors';
import { limits } from '../../src/base/limits';
import { openNotices } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { incarnation } from '../../src/format/id';
import { partitionOf } from '../../src/format/partition';
import { seededRandom } from '../../src/memory/clock';
import { openSender } from '../../src/work/submit';
import { consumeQueue } from '../../src/work/queue/consumer';
import type { QueueConsumer } from '../../src/work/types';
import { FakeKafka, type Outcome } from '../support/fake-kafka-log';
import type { FakeFault, FakeRequest } from '../support/fake-cluster';
import { openProcess } from '../support/kafka-log-ports';
import { group, jobs, parked, topic } from '../support/work-queue';
import { dice, type Dice } from './dice';
import type { Ledger, Message } from './ledger';
import type { Plant } from './plants';

const { resize } = jobs();
/** Two lanes of one partition. */
const keys = ['k1', 'k16'] as const;
const partition = partitionOf(Buffer.from(keys[0]), topic.partitions);
/** More senders than a commit carries, so that the filter of the next owner has forgotten the first ones. */
const sendersMin = limits.committedSendersMax + 10;
const sendersMax = sendersMin + 40;
/** The number of jobs that each sender submits at most, one after the other. */
const jobsMax = 3;
/**
 * The number of senders at the start whose first batches are written without an answer, and resent after the hand-
 * overs.
 */
const lateSenders = 3;
const settledWithinMs = 120_000;

export async function playResends(seed: number, ledger: Ledger, plant: Plant | undefined): Promise<void> {
  const scene = new Scene(dice(seed, 9), seededRandom(seed), ledger, plant);
  await scene.play();
}

const script = { tookMs: 0, fails: 0, parks: false, tells: 0, passes: 0 };

class Scene {
  readonly #kafka = new FakeKafka();
  readonly #handled = new Map<number, number>();
  readonly #open = new Set<Promise<void>>();
  #healed = false;

  constructor(
    private readonly dice: Dice,
    private readonly random: ReturnType<typeof seededRandom>,
    private readonly ledger: Ledger,
    private readonly plant: Plant | undefined,
  ) {}

  async play(): Promise<void> {
    const kafka = this.#kafka;
    kafka.cluster.latencyMs = this.dice.whole(1, 5);
    kafka.cluster.script = (request) => this.#fault(request);
    let workers = [await this.#work('w0'), await this.#work('w1')];
    const late = Array.from({ length: lateSenders }, (_, n) => this.#submit(`late${n}`));
    await kafka.until(() => this.#handled.size >= lateSenders, settledWithinMs, 'the first jobs are handled');
    const senders = this.dice.whole(sendersMin, sendersMax);
    for (let n = 0; n < senders;) {
      const burst = Math.min(senders - n, this.dice.whole(1, 20));
      for (const last = n + burst; n < last; n++) this.#submit(`s${n}`);
      await kafka.clock.advance(this.dice.whole(1, 500));
      if (this.dice.chance(0.1)) this.#moveLeaders();
      if (this.dice.chance(0.1)) workers = await this.#handOver(workers);
    }
    workers = await this.#handOver(await this.#handOver(workers));
    this.#healed = true;
    const settled = kafka.watch(Promise.all(this.#open));
    await kafka.until(() => settled.settled && late.every((one) => one.settled), settledWithinMs, 'all is settled');
    await kafka.clock.advance(settledWithinMs); // delayed copies arrive
    await kafka.run(Promise.all(workers.map((worker) => worker.close())));
    this.#check();
    await kafka.close();
  }

  /** Returns the fault of a produce request. */
  #fault({ name, client, n }: FakeRequest): FakeFault | undefined {
    if (name !== 'produce' || this.#healed) return undefined;
    if (client.startsWith('late')) return this.#lateFault(client);
    if (!client.startsWith('s') || !this.dice.chance(0.15)) return undefined;
    const fault = this.dice.pick<FakeFault>([
      'lost',
      'never',
      { error: 'NOT_LEADER_OR_FOLLOWER', done: true },
      { error: 'REQUEST_TIMED_OUT', done: false },
      { delayMs: this.dice.whole(1_000, 40_000) }, // beyond the deadline of a request, so it is resent meanwhile
    ]);
    this.ledger.note(`produce ${n} of ${client}: ${JSON.stringify(fault)}`);
    this.ledger.count('fault resend');
    return fault;
  }
  readonly #writtenOf = new Set<string>();
  #lateFault(client: string): FakeFault {
    if (this.#writtenOf.has(client)) return 'never';
    this.#writtenOf.add(client);
    return 'lost';
  }

  #moveLeaders(): void {
    this.#kafka.cluster.lead(topic.name, partition, this.dice.whole(1, 3));
    this.ledger.note('the leader moves');
  }

  /** One worker joins, and the oldest one leaves. */
  async #handOver([first, ...others]: QueueConsumer[]): Promise<QueueConsumer[]> {
    const next = await this.#work(`w${++this.#workers}`);
    if (first) await this.#kafka.run(first.close());
    this.ledger.note('a worker has handed over');
    return [...others, next];
  }
  #workers = 1;

  #process(name: string) {
    const around = { clock: this.#kafka.clock, random: this.random };
    const client = this.#kafka.cluster.wire(name);
    const one = openProcess(name, this.plant?.client?.(client) ?? client, around);
    const clock = { ...around.clock, now: () => Math.round(around.clock.now()) };
    const parts = { ...around, clock, notices: openNotices(), scopes: openScopes(), log: one.log };
    return { one, parts };
  }

  #work(name: string): Promise<QueueConsumer> {
    const { parts } = this.#process(name);
    const handle = ({ n }: { n: number }): void => {
      this.ledger.note(`${name} handles resend job ${n}`);
      this.#handled.set(n, (this.#handled.get(n) ?? 0) + 1);
    };
    // The engine passes on what the schema returned, and this submits jobs and nothing else.
    const entries = new Map([[resize.name, { entry: resize, run: handle as Run }]]);
    const self = { module: 'photos', instance: `photos#${name}` };
    const queue = { name: 'photos.work', topic, group, parkedTopic: parked, entries, other: 'hold' as const };
    return this.#kafka.run(consumeQueue({ ...parts, middleware: [], self, version: '1' }, queue));
  }

  /** Runs a process that submits some jobs and ends, as `busbar submit` from cron does. */
  #submit(name: string): Outcome<void> {
    const { one, parts } = this.#process(name);
    const self = { module: 'web', instance: `web#${name}` };
    const life = incarnation(this.random);
    const sender = openSender({ ...parts, self, ns: 't', incarnation: life, reached: 'broker' });
    const count = this.dice.whole(1, jobsMax);
    const submitAll = async (): Promise<void> => {
      for (let sent = 0; sent < count; sent++) {
        const message = this.ledger.send(resize.name, this.dice.pick(keys), name, script);
        await this.#settle(message, sender.send(resize, [{ n: message.n, key: message.key ?? '' }]));
      }
      await one.close();
    };
    const done = submitAll();
    this.#open.add(done);
    return this.#kafka.watch(done);
  }
  async #settle(message: Message, sent: Promise<unknown>): Promise<void> {
    try {
      await sent;
      this.ledger.told(message, 'accepted');
    } catch (error) {
      this.ledger.told(message, isBusError(error, 'Unreachable') ? 'unknown' : 'refused', String(error));
    }
  }

  #check(): void {
    for (const { n, fate, entry } of this.ledger.messages.values()) {
      if (entry !== resize.name) continue;
      const times = this.#handled.get(n) ?? 0;
      if (times > 1) this.ledger.breaks('twice', `resend job ${n} was handled ${times} times, and no worker died`);
      if (times === 0 && fate === 'accepted') this.ledger.breaks('lost', `resend job ${n} was accepted`);
      if (fate === 'refused') this.ledger.breaks('quiet', `resend job ${n} was refused`);
    }
  }
}

/**
 * Machines with a spool each, in front of servers that are away, slow, or lose answers. Processes crash at any call, in
 * the middle of a list too, freeze, and hand the drain over. Workers at the servers handle each accepted job once, in
 * the order of its sender and key; a job that the servers refuse for good is parked on its machine.
 */
import { limits } from '../../src/base/limits';
import { openNotices } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { memoryWorld, seededRandom, virtualClock, type WorldOptions } from '../../src/memory';
import type { Log, Place } from '../../src/ports/log';
import { drainGroup } from '../../src/spool/drain';
import { parkedTopic as refusedTopic, readParked } from '../../src/spool/parked';
import { consumeQueue } from '../../src/work/queue/consumer';
import { parkedTopic, workTopic } from '../../src/work/topics';
import type { QueueConsumer } from '../../src/work/types';
import { dice, type Dice } from './dice';
import type { Ledger } from './ledger';
import { hotKeys } from './plan';
import type { Plant } from './plants';
import { drawSpoolFaults, SpoolFaults } from './spool-faults';
import { jobOf, recordBytesMax, SpoolJudge, store, type Job } from './spool-judge';
import { Machine, wholeMs, type SpoolScene } from './spool-machine';

const topic = workTopic('t', 'album');
const settledWithinMs = 300_000;
const closeMsMax = 40_000;
/** Time after the faults in which the last jobs are sent, and in which delayed copies arrive. */
const calmMs = 5_000;
const copiesMs = 60_000;
/**
 * Share of the runs in which each job has a sender of its own, as `busbar submit` from cron does, and all have one key.
 * There are then more senders than a commit of the workers carries.
 */
const manyChance = 0.15;
const jobsMany = 2 * limits.committedSendersMax;
const all = { messages: 1_000_000, bytes: Infinity };

export async function playSpools(seed: number, ledger: Ledger, plant: Plant | undefined): Promise<void> {
  const scene = new Scene(seed, ledger, plant);
  await scene.play();
}

class Scene {
  readonly #clock = virtualClock();
  readonly #dice: Dice;
  readonly #shared: SpoolScene;
  readonly #faults: SpoolFaults;
  readonly #machines: readonly [Machine, ...Machine[]];
  readonly #handOverChance: number;
  #workers = 0;

  constructor(
    seed: number,
    private readonly ledger: Ledger,
    private readonly plant: Plant | undefined,
  ) {
    const clock = this.#clock;
    const d = (this.#dice = dice(seed, 12));
    const isMany = dice(seed, 13).chance(manyChance);
    this.#handOverChance = isMany ? 0.3 : 0.05;
    const random = seededRandom(seed);
    const delays = (chance: number, ...maxMs: readonly [number, ...number[]]): Partial<WorldOptions> =>
      d.chance(chance) ? { delays: { minMs: 0, maxMs: d.pick(maxMs) } } : {};
    const servers = memoryWorld({
      clock,
      random,
      recordBytesMax: (name) => (name === topic.name ? recordBytesMax : Infinity),
      crashNoticedMs: d.pick([0, 5_000, 30_000]),
      ...delays(0.7, 2, 20, 100),
    });
    this.#shared = {
      clock,
      dice: d,
      ledger,
      judge: new SpoolJudge(ledger),
      servers,
      plan: drawSpoolFaults(d),
      plant: plant?.spool,
      keys: [d.pick(hotKeys), ...Array.from({ length: isMany ? 0 : d.whole(0, 4) }, () => d.pick(hotKeys))],
      jobsMax: isMany ? d.whole(jobsMany, 2 * jobsMany) : d.whole(20, 120),
      hasShortSenders: isMany,
      phase: 'faults',
      starts: 0,
      note: (what) => ledger.note(`spool at ${Math.round(clock.mono())}: ${what}`),
      tear: (process, records) => this.#faults.tear(process, records),
    };
    const machine = (n: number): Machine => {
      const stateBytesMax = 65_536; // as the embedded log
      const crashNoticedMs = d.pick([0, 0, 2_000]);
      const world = memoryWorld({ clock, random, stateBytesMax, crashNoticedMs, ...delays(0.8, 1, 10, 50) });
      world.faults = (operation) => this.#faults.local(`m${n}`, operation);
      return new Machine(`m${n}`, world, d.whole(1, 3), this.#shared);
    };
    this.#machines = [machine(0), ...(d.chance(0.3) ? [machine(1)] : [])];
    const crashes = (name: string): void => {
      for (const one of this.#machines) {
        const process = one.processes.get(name);
        if (process) one.followCrash(process);
      }
    };
    const { plan, note } = this.#shared;
    const counted = { note, count: (what: string) => ledger.count(what) };
    this.#faults = new SpoolFaults({ plan, dice: d, ledger: counted, nowMs: () => clock.mono(), crashes });
    servers.faults = (operation) => {
      const isOfMachine = this.#machines.some(({ processes }) => processes.has(operation.process));
      return isOfMachine ? this.#faults.server(operation) : undefined;
    };
  }

  async play(): Promise<void> {
    const clock = this.#clock;
    const { judge } = this.#shared;
    let workers = [await this.#run(this.#work()), await this.#run(this.#work())];
    for (const machine of this.#machines) machine.start();
    const faultsMs = clock.mono() + this.#dice.whole(10_000, 60_000);
    while (clock.mono() < faultsMs) {
      await clock.advance(this.#dice.whole(100, 4_000));
      if (this.#dice.chance(0.5)) this.#befall();
      if (this.#dice.chance(this.#handOverChance)) workers = await this.#handOver(workers);
    }
    await this.#heal();
    const isDone = await clock.runUntil(() => judge.owed === 0, settledWithinMs);
    if (!isDone) this.ledger.breaks('drained', `${judge.owed} jobs of spools are not at the servers`);
    workers = await this.#handOver(workers);
    await clock.advance(copiesMs);
    await this.#check();
    await this.#closeAll();
    await this.#run(Promise.all(workers.map((worker) => worker.close())));
  }
  async #run<T>(work: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = (): void => void (isSettled = true);
    work.then(settle, settle);
    if (!(await this.#clock.runUntil(() => isSettled, settledWithinMs))) throw new Error('a call never ends');
    return work;
  }

  #work(): Promise<QueueConsumer> {
    const name = `w${this.#workers++}`;
    const { judge, note, servers } = this.#shared;
    const { log, clock } = servers.process(name);
    const run = (job: Job): void => {
      note(`${name} handles #${job.n}`);
      judge.handled(job, name);
    };
    const parts = {
      clock: wholeMs(clock),
      log,
      random: servers.random,
      notices: openNotices(),
      scopes: openScopes(),
      middleware: [],
      self: { module: 'album', instance: `album#${name}` },
      version: '1',
      ...(this.plant?.makeFilter && { makeFilter: this.plant.makeFilter }),
    };
    // The engine passes on what the schema returned, and the machines send jobs only.
    const entries = new Map([[store.name, { entry: store, run: run as Run }]]);
    const queue = { name: 'album.work', topic, group: 't.album.work', parkedTopic: parkedTopic('t', 'album'), entries };
    return consumeQueue(parts, { ...queue, other: 'hold' });
  }
  /** One worker joins, and the oldest one leaves. */
  async #handOver([first, ...others]: QueueConsumer[]): Promise<QueueConsumer[]> {
    const next = await this.#run(this.#work());
    if (first) await this.#run(first.close());
    this.#shared.note('a worker has handed over');
    return [...others, next];
  }

  #befall(): void {
    const d = this.#dice;
    const ofAll = ['away', 'away', 'refuse', 'rebalance', 'machine', 'full'] as const;
    const what = d.pick([...ofAll, 'crash', 'freeze', 'expire', 'leave'] as const);
    const machine = d.pick(this.#machines);
    const forMs = d.whole(100, 20_000);
    const { alive } = machine;
    const process = alive[d.whole(0, alive.length - 1)];
    this.#shared.note(`event ${what} at ${machine.name} ${process?.name} for ${forMs} ms`);
    this.ledger.count(`fault spool ${what}`);
    if (what === 'away') return this.#faults.away(forMs);
    if (what === 'refuse') return this.#faults.refuse(forMs);
    if (what === 'full') return this.#faults.fill(machine.name, Math.min(forMs, 3_000));
    if (what === 'rebalance') return machine.rebalance(topic.name);
    if (what === 'machine') return machine.crashAll();
    if (!process || process.isLeaving) return;
    if (what === 'crash') return machine.crash(process);
    if (what === 'expire') return process.local.expire();
    if (what === 'leave') return void machine.leave(process);
    machine.freeze(process);
    this.#clock.after(forMs, () => machine.thaw(process));
  }
  /** Ends the faults, and then the sending, and waits for delayed copies. */
  async #heal(): Promise<void> {
    this.#shared.note('the faults have ended');
    this.#shared.phase = 'calm';
    this.#faults.heal();
    for (const machine of this.#machines) {
      for (const process of machine.alive) machine.thaw(process);
      machine.start();
    }
    await this.#clock.advance(calmMs);
    this.#shared.phase = 'over';
    await this.#clock.advance(copiesMs);
  }

  async #check(): Promise<void> {
    const parked = new Map<string, readonly number[]>();
    for (const { name, world } of this.#machines) {
      const { log } = world.process('operator');
      await this.#checkCommits(name, log);
      const refused = await this.#run(log.peek(refusedTopic('t').name, { partition: 0, offset: 0 }, all));
      const records = refused.flatMap((record) => readParked(record)?.record ?? []);
      parked.set(name, records.map(jobOf));
    }
    const { judge, servers } = this.#shared;
    judge.check(parked);
    const { log } = servers.process('operator');
    await judge.checkPlaces(async (place: Place) => {
      const [record] = await this.#run(log.peek(topic.name, place, { messages: 1, bytes: 1 }));
      return record?.offset === place.offset ? record : undefined;
    });
  }
  async #checkCommits(machine: string, log: Log): Promise<void> {
    const commits = await this.#run(log.committedOffsets(drainGroup, topic.name));
    for (const { partition, end } of await this.#run(log.bounds(topic.name))) {
      const offset = commits.find((commit) => commit.partition === partition)?.offset ?? 0;
      if (offset < end) this.ledger.breaks('drained', `the spool of ${machine} is sent up to ${offset} of ${end}`);
    }
  }

  async #closeAll(): Promise<void> {
    this.#shared.phase = 'closing';
    let left = 0;
    for (const machine of this.#machines)
      for (const process of machine.alive) {
        left++;
        void machine.leave(process).then(() => left--);
      }
    if (await this.#clock.runUntil(() => left === 0, closeMsMax)) return;
    this.ledger.breaks('closing', `${left} spools have not closed within ${closeMsMax} ms`);
  }
}

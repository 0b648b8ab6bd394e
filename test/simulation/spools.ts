/**
 * Machines with a spool each, in front of servers that are away, slow, or lose answers. Processes crash at any call,
 * freeze, and hand the drain over. Workers at the servers handle each accepted message once, in the order of its sender
 * and key; a message that the servers refuse for good is parked on its machine.
 */
import { sleep, type Clock } from '../../src/base/clock';
import { errorMessage } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { defineModule, unchecked, work } from '../../src/contract/contract';
import { openScopes } from '../../src/delivery/context';
import type { Run } from '../../src/delivery/deliver';
import { decodeBody } from '../../src/format/codec';
import { incarnation } from '../../src/format/id';
import {
  memoryWorld,
  seededRandom,
  virtualClock,
  type MemoryProcess,
  type MemoryWorld,
  type Operation,
} from '../../src/memory';
import type { Append, LogRecord } from '../../src/ports/log';
import { readParked, parkedTopic as spoolParkedTopic } from '../../src/spool/parked';
import { drainGroup } from '../../src/spool/drain';
import { openSpool, type Spool } from '../../src/spool/spool';
import { consumeQueue } from '../../src/work/queue/consumer';
import { openSender } from '../../src/work/submit';
import { parkedTopic, workTopic } from '../../src/work/topics';
import type { QueueConsumer, Sender, Submitted } from '../../src/work/types';
import { dice, type Dice } from './dice';
import type { Ledger, Message } from './ledger';
import { hotKeys } from './plan';
import type { Plant } from './plants';
import { drawSpoolFaults, isRefusal, serverLog, SpoolFaults, type SpoolFaultPlan } from './spool-faults';
import { SpoolWatch } from './spool-watch';

interface Job {
  readonly n: number;
  readonly key: string;
  /** Makes the record too large for the servers. */
  readonly pad: string;
}
const { store } = defineModule('album', { store: work(unchecked<Job>(), { key: (job: Job) => job.key }) });
const topic = workTopic('t', 'album');
const parked = parkedTopic('t', 'album');
const group = 't.album.work';
const script = { tookMs: 0, fails: 0, parks: false, tells: 0 };

/** Largest record that the servers accept. A large message has more. */
const recordBytesMax = 3_000;
const padBytes = 4_000;
/** Less than the senders that a commit carries, so that the workers remember all of them. */
const startsMax = 50;
const settledWithinMs = 300_000;
const closeMsMax = 40_000;
const maxRead = { messages: 1_000_000, bytes: Infinity };

export async function playSpools(seed: number, ledger: Ledger, plant: Plant | undefined): Promise<void> {
  const scene = new Scene(seed, ledger, plant);
  await scene.play();
}

/** A place for a process of a machine: one that ends is followed by another one. */
interface Slot {
  readonly machine: Machine;
  readonly number: number;
  starts: number;
  current: Process | undefined;
}
interface Machine {
  readonly name: string;
  readonly world: MemoryWorld;
  readonly watch: SpoolWatch;
  readonly slots: Slot[];
}
interface Process {
  readonly name: string;
  readonly slot: Slot;
  readonly local: MemoryProcess;
  readonly server: MemoryProcess;
  spool: Spool | undefined;
  sender: Sender | undefined;
  isLeaving: boolean;
}
/** A message and what its check needs. */
interface Sent {
  readonly message: Message;
  readonly machine: string;
  readonly isLarge: boolean;
  handled: number;
}

class Scene {
  readonly #clock = virtualClock();
  readonly #dice: Dice;
  readonly #random;
  readonly #servers: MemoryWorld;
  readonly #plan: SpoolFaultPlan;
  readonly #faults: SpoolFaults;
  readonly #machines: readonly Machine[];
  readonly #processes = new Map<string, Process>();
  readonly #sent = new Map<number, Sent>();
  /** The last message of each sender and key whose first handling has begun. */
  readonly #firsts = new Map<string, number>();
  readonly #keys: readonly [string, ...string[]];
  readonly #messages: number;
  #starts = 0;
  #workers = 0;
  #isHealed = false;
  #isOver = false;

  constructor(
    seed: number,
    private readonly ledger: Ledger,
    private readonly plant: Plant | undefined,
  ) {
    const d = dice(seed, 12);
    this.#dice = d;
    this.#random = seededRandom(seed);
    this.#plan = drawSpoolFaults(d);
    this.#messages = d.whole(20, 120);
    this.#keys = [d.pick(hotKeys), ...Array.from({ length: d.whole(0, 4) }, () => d.pick(hotKeys))];
    const around = { clock: this.#clock, random: this.#random };
    this.#servers = memoryWorld({
      ...around,
      recordBytesMax: (name) => (name === topic.name ? recordBytesMax : Infinity),
      crashNoticedMs: d.pick([0, 5_000, 30_000]),
      ...(d.chance(0.7) && { delays: { minMs: 0, maxMs: d.pick([2, 20, 100]) } }),
    });
    this.#faults = new SpoolFaults({
      plan: this.#plan,
      dice: d,
      ledger: { count: (what) => ledger.count(what), note: (what) => this.#note(what) },
      nowMs: () => this.#clock.mono(),
      crashes: (name) => this.#followCrash(name),
    });
    const isWorker = ({ process }: Operation): boolean => !this.#processes.has(process);
    this.#servers.faults = (operation) => (isWorker(operation) ? undefined : this.#faults.server(operation));
    this.#machines = Array.from({ length: d.pick([1, 1, 2]) }, (_, n) => this.#machine(`m${n}`, d));
  }

  #machine(name: string, d: Dice): Machine {
    const world = memoryWorld({
      clock: this.#clock,
      random: this.#random,
      stateBytesMax: 65_536,
      crashNoticedMs: d.pick([0, 0, 2_000]),
      ...(d.chance(0.8) && { delays: { minMs: 0, maxMs: d.pick([1, 10, 50]) } }),
    });
    world.faults = (operation) => this.#faults.local(name, operation);
    const watch = new SpoolWatch(name, { breaks: (...how) => this.ledger.breaks(...how) });
    const machine: Machine = { name, world, watch, slots: [] };
    const count = d.whole(1, 3);
    for (let number = 0; number < count; number++)
      machine.slots.push({ machine, number, starts: 0, current: undefined });
    return machine;
  }

  get #slots(): readonly [Slot, ...Slot[]] {
    const [first, ...others] = this.#machines.flatMap(({ slots }) => slots);
    if (!first) throw new Error('a scene has no machine');
    return [first, ...others];
  }
  get #alive(): readonly Process[] {
    return this.#slots.flatMap(({ current }) => (current && !this.#isDead(current) ? [current] : []));
  }
  #isDead({ local, server }: Process): boolean {
    return local.state === 'crashed' || server.state === 'crashed';
  }
  #note(what: string): void {
    this.ledger.note(`spool at ${Math.round(this.#clock.mono())}: ${what}`);
  }

  async play(): Promise<void> {
    const clock = this.#clock;
    let workers = [await this.#run(this.#work()), await this.#run(this.#work())];
    for (const slot of this.#slots) this.#start(slot);
    const faultsMs = this.#dice.whole(10_000, 60_000);
    while (clock.mono() < faultsMs) {
      await clock.advance(this.#dice.whole(100, 4_000));
      if (this.#dice.chance(0.5)) this.#befall();
      if (this.#dice.chance(0.05)) workers = await this.#handOver(workers);
    }
    this.#heal();
    await clock.advance(5_000);
    this.#isOver = true;
    await clock.advance(60_000); // the last calls end, and delayed copies arrive
    const isDone = await clock.runUntil(() => this.#owed.length === 0, settledWithinMs);
    if (!isDone) this.ledger.breaks('drained', `${this.#owed.length} messages of spools are not at the servers`);
    workers = await this.#handOver(workers);
    await clock.advance(60_000);
    await this.#check();
    await this.#closeAll();
    await this.#run(Promise.all(workers.map((worker) => worker.close())));
  }
  async #run<T>(working: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = (): void => void (isSettled = true);
    working.then(settle, settle);
    if (!(await this.#clock.runUntil(() => isSettled, settledWithinMs))) throw new Error('a call never ends');
    return working;
  }

  // Workers

  #work(): Promise<QueueConsumer> {
    const name = `w${this.#workers++}`;
    const { log, ...worker } = this.#servers.process(name);
    const clock = wholeMs(worker.clock);
    const run = ((job: Job) => this.#handle(name, job)) as Run; // this sends jobs only
    return consumeQueue(
      {
        clock,
        log,
        random: this.#random,
        notices: openNotices(),
        scopes: openScopes(),
        middleware: [],
        self: { module: 'album', instance: `album#${name}` },
        version: '1',
        ...(this.plant?.makeFilter && { makeFilter: this.plant.makeFilter }),
      },
      {
        name: 'album.work',
        topic,
        group,
        parkedTopic: parked,
        entries: new Map([[store.name, { entry: store, run }]]),
        other: 'hold',
      },
    );
  }
  async #handOver([first, ...others]: QueueConsumer[]): Promise<QueueConsumer[]> {
    const next = await this.#run(this.#work());
    if (first) await this.#run(first.close());
    this.#note('a worker has handed over');
    return [...others, next];
  }
  #handle(worker: string, { n }: Job): void {
    const sent = this.#sent.get(n);
    this.#note(`${worker} handles #${n}`);
    if (!sent) return this.ledger.breaks('phantom', `${worker} handles job ${n}, which was not sent`);
    if (sent.handled++ > 0) return;
    const { sender, key } = sent.message;
    const name = `${sender} ${key}`;
    const before = this.#firsts.get(name) ?? 0;
    if (n < before) this.ledger.breaks('order', `#${n} of ${name} is first handled after #${before}`);
    this.#firsts.set(name, Math.max(before, n));
  }

  // Processes of the machines

  #start(slot: Slot): void {
    const { machine } = slot;
    if (++this.#starts > startsMax && !this.#isHealed) return;
    const name = `${machine.name}p${slot.number}x${++slot.starts}`;
    const [local, server] = [machine.world.process(name), this.#servers.process(name)];
    const process: Process = { name, slot, local, server, spool: undefined, sender: undefined, isLeaving: false };
    slot.current = process;
    this.#processes.set(name, process);
    this.#note(`${name} starts`);
    this.#open(process).catch((error: unknown) => {
      this.#note(`${name} could not start: ${errorMessage(error)}`);
      this.#crash(process);
    });
  }

  async #open(process: Process): Promise<void> {
    const { local, server, name, slot } = process;
    const clock = wholeMs(local.clock);
    const isRefused = ({ value }: Append): boolean => (value?.length ?? 0) > recordBytesMax;
    const reached = serverLog(server.log, clock, this.#plan, isRefused);
    const watched = slot.machine.watch.of(name, local.log, reached);
    const plant = this.plant?.spool;
    const notices = openNotices();
    const spool = await openSpool({
      ns: 't',
      clock,
      notices,
      log: plant?.servers?.(watched.servers, clock) ?? watched.servers,
      local: plant?.local?.(watched.local, clock) ?? watched.local,
      bytesMax: 1024 ** 3,
      topicShare: 0.5,
    });
    process.spool = spool;
    process.sender = openSender({
      clock,
      random: this.#random,
      notices,
      scopes: openScopes(),
      log: server.log,
      self: { module: 'web', instance: `web#${name}` },
      ns: 't',
      incarnation: incarnation(this.#random),
      reached: 'disk',
      spool: plant?.outbox?.(spool) ?? spool,
    });
    while (!this.#isOver && !process.isLeaving) {
      if (this.#sent.size < this.#messages || this.#isHealed) this.#send(process, process.sender);
      await sleep(clock, this.#dice.whole(0, this.#isHealed ? 2_000 : 1_500));
    }
  }

  #send({ name, slot }: Process, sender: Sender): void {
    const count = this.#dice.pick([1, 1, 1, 2, 5]);
    const all = Array.from({ length: count }, (): Sent => {
      const message = this.ledger.send(store.name, this.#dice.pick(this.#keys), name, script);
      const sent = { message, machine: slot.machine.name, isLarge: this.#dice.chance(0.02), handled: 0 };
      this.#sent.set(message.n, sent);
      return sent;
    });
    const inputs = all.map(({ message: { n, key }, isLarge }) => ({
      n,
      key: key ?? '',
      pad: isLarge ? 'x'.repeat(padBytes) : '',
    }));
    const isWaiting = this.#dice.chance(0.1) && !all.some(({ isLarge }) => isLarge);
    const options = isWaiting ? ({ until: 'broker', timeoutMs: this.#dice.whole(1, 20_000) } as const) : {};
    void this.#settle(all, sender.send(store, inputs, count > 1 ? 'list' : 'one', options));
  }
  async #settle(all: readonly Sent[], sending: Promise<readonly Submitted[]>): Promise<void> {
    const tell = (fate: 'accepted' | 'unknown' | 'refused', why = ''): void => {
      for (const { message } of all) this.ledger.told(message, fate, why);
    };
    try {
      const answers = await sending;
      tell('accepted');
      answers.forEach(({ place }, n) => {
        const sent = all[n];
        if (place && sent) this.#places.set(sent.message.n, place);
      });
    } catch (error) {
      tell(isRefusal(error) ? 'refused' : 'unknown', errorMessage(error));
    }
  }
  /** Places at the servers that `until: 'broker'` returned. */
  readonly #places = new Map<number, { readonly partition: number; readonly offset: number }>();

  /** Ends both halves of a process when a fault has ended one. */
  #followCrash(name: string): void {
    const process = this.#processes.get(name);
    if (!process) return;
    if (this.#isDead(process)) this.#crash(process);
    else this.#clock.after(1, () => this.#followCrash(name));
  }
  #crash(process: Process): void {
    process.local.crash();
    process.server.crash();
    if (process.slot.current !== process) return;
    this.#note(`${process.name} has ended`);
    this.ledger.count('deaths');
    process.slot.current = undefined;
    this.#startLater(process.slot);
  }
  #startLater(slot: Slot): void {
    this.#clock.after(this.#dice.whole(5, this.#isHealed ? 1_000 : 8_000), () => {
      if (!slot.current) this.#start(slot);
    });
  }
  async #leave(process: Process): Promise<void> {
    process.isLeaving = true;
    this.#note(`${process.name} leaves`);
    await process.sender?.close();
    await process.spool?.close();
    this.#note(`${process.name} has left`);
    if (!this.#isDead(process)) this.#crash(process);
  }

  // Faults

  #befall(): void {
    const kinds = [
      'crash',
      'freeze',
      'expire',
      'leave',
      'rebalance',
      'machine',
      'full',
      'away',
      'away',
      'refuse',
    ] as const;
    const what = this.#dice.pick(kinds);
    const slot = this.#dice.pick(this.#slots);
    const { machine, current } = slot;
    const forMs = this.#dice.whole(100, 20_000);
    this.#note(`event ${what} at ${machine.name} ${current?.name} for ${forMs} ms`);
    this.ledger.count(`fault spool ${what}`);
    if (what === 'rebalance') return machine.world.rebalance(drainGroup, topic.name);
    if (what === 'away') return this.#faults.away(forMs);
    if (what === 'refuse') return this.#faults.refuse(forMs);
    if (what === 'full') return this.#faults.fill(machine.name, Math.min(forMs, 3_000));
    if (what === 'machine') return machine.slots.forEach((one) => one.current && this.#crash(one.current));
    if (!current || this.#isDead(current) || current.isLeaving) return;
    if (what === 'crash') return this.#crash(current);
    if (what === 'expire') return current.local.expire();
    if (what === 'leave') return void this.#leave(current);
    current.local.freeze();
    current.server.freeze();
    this.#clock.after(forMs, () => this.#thaw(current));
  }
  #thaw({ local, server }: Process): void {
    local.thaw();
    server.thaw();
  }
  #heal(): void {
    this.#note('the faults have ended');
    this.#isHealed = true;
    this.#faults.heal();
    for (const process of this.#processes.values()) if (!this.#isDead(process)) this.#thaw(process);
    for (const slot of this.#slots) if (!slot.current) this.#startLater(slot);
  }

  // Checks

  /** Accepted messages that must be handled and are not. */
  get #owed(): readonly Sent[] {
    return [...this.#sent.values()].filter(
      ({ message, isLarge, handled }) => message.fate === 'accepted' && !isLarge && handled === 0,
    );
  }

  async #check(): Promise<void> {
    const waiting = new Map<string, number>();
    for (const machine of this.#machines)
      for (const n of await this.#parkedOf(machine)) waiting.set(`${machine.name} ${n}`, n);
    for (const { message, machine, isLarge, handled } of this.#sent.values()) {
      const { n, fate } = message;
      const isParked = waiting.has(`${machine} ${n}`);
      const breaks = this.ledger.breaks.bind(this.ledger);
      if (handled > 1) breaks('twice', `job #${n} of a spool was handled ${handled} times, and no worker died`);
      if (fate === 'accepted' && handled === 0 && !isParked) breaks('lost', `job #${n} was accepted by a spool`);
      if (fate === 'refused' && (handled > 0 || isParked)) breaks('refused', `job #${n} was refused by a spool`);
      if (isParked !== isLarge && (isParked || fate === 'accepted'))
        breaks(
          'parked',
          `job #${n} of a spool, which the servers ${isLarge ? 'refuse' : 'accept'}, is ${isParked ? '' : 'not '}parked`,
        );
      if (handled > 0 && isLarge) breaks('phantom', `job #${n} is too large for the servers`);
      this.ledger.count('settled', handled);
      if (isParked) this.ledger.count('spool parked');
    }
    await this.#checkPlaces();
    for (const machine of this.#machines) await this.#checkCommits(machine);
  }
  async #parkedOf({ world }: Machine): Promise<readonly number[]> {
    const { log } = world.process('operator');
    const records = await this.#run(log.peek(spoolParkedTopic('t').name, { partition: 0, offset: 0 }, maxRead));
    return records.flatMap((record) => {
      const found = readParked(record);
      return found ? [jobOf(found.record)] : [];
    });
  }
  async #checkPlaces(): Promise<void> {
    const { log } = this.#servers.process('operator');
    for (const [n, place] of this.#places) {
      const [record] = await this.#run(log.peek(topic.name, place, { messages: 1, bytes: 1 }));
      if (record?.offset === place.offset && jobOf(record) === n) continue;
      this.ledger.breaks('lost', `job #${n} is not at ${place.partition}/${place.offset} of the servers, as reported`);
    }
    this.ledger.count('spool places', this.#places.size);
  }
  async #checkCommits({ name, world }: Machine): Promise<void> {
    const { log } = world.process('operator');
    const commits = await this.#run(log.committedOffsets(drainGroup, topic.name));
    const bounds = await this.#run(log.bounds(topic.name));
    for (const { partition, end } of bounds) {
      const offset = commits.find((commit) => commit.partition === partition)?.offset ?? 0;
      if (offset < end) this.ledger.breaks('drained', `the spool of ${name} is sent up to ${offset} of ${end}`);
    }
  }

  async #closeAll(): Promise<void> {
    const open = this.#alive.map((process) => ({ process, closing: this.#leave(process) }));
    let left = open.length;
    for (const { closing } of open) void closing.finally(() => left--);
    if (await this.#clock.runUntil(() => left === 0, closeMsMax)) return;
    this.ledger.breaks('closing', `${left} of ${open.length} spools have not closed within ${closeMsMax} ms`);
  }
}

/** Returns a clock whose wall time is in whole milliseconds, as envelopes need it. */
const wholeMs = (clock: Clock): Clock => ({ ...clock, now: () => Math.round(clock.now()) });

function jobOf({ value }: LogRecord): number {
  const decoded = decodeBody(value ?? new Uint8Array(0));
  return decoded.ok ? (decoded.value as Job).n : -1; // only jobs are sent
}

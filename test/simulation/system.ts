/** The simulated system: its processes, their restarts, and their faults. */
import { buildBus } from '../../src/bus/bus';
import { defaults, liveConfig } from '../../src/config';
import type { BusParts } from '../../src/bus/parts';
import { memoryWorld, seededRandom, type MemoryWorld, type VirtualClock } from '../../src/memory';
import type { Stored } from '../../src/ports/log';
import { memoryBusParts } from '../../src/testing/parts';
import { Checks } from './checks';
import { contractsOf, type Contracts } from './contracts';
import { dice, type Dice } from './dice';
import { Disks } from './disks';
import { CallFaults } from './faults';
import { Instance, type Module } from './instance';
import type { Ledger } from './ledger';
import { Modules } from './modules';
import type { FaultEvent, Plan } from './plan';
import type { Plant } from './plants';
import { Senders } from './senders';
import { Stranger } from './stranger';
import { watchLog } from './watch';

/** A slot for one instance of a module; an instance that dies in it is replaced. */
interface Slot {
  readonly module: Module;
  readonly number: number;
  lives: number;
  current: Instance | undefined;
}

const startsMax = 200;
/** A member without an answer from its coordinator is fenced after this share of its session. */
const fenceShare = 0.8;

export class System {
  readonly world: MemoryWorld;
  readonly contracts: Contracts;
  readonly checks: Checks;
  readonly #slots: Slot[];
  readonly #slotOf = new Map<Instance, Slot>();
  readonly #senders: Senders;
  readonly #modules: Modules;
  readonly #stranger: Stranger;
  readonly #faults: CallFaults;
  readonly #disks: Disks;
  readonly #dice: Dice;
  #starts = 0;
  #healed = false;
  /** Failures of instances to leave properly after the faults. */
  readonly badLeaves: string[] = [];

  constructor(
    private readonly plan: Plan,
    private readonly clock: VirtualClock,
    private readonly ledger: Ledger,
    private readonly plant: Plant | undefined,
  ) {
    const { seed, delays, sessionMs, crashNoticedMs, parkedBytesMax } = plan;
    const random = seededRandom(seed);
    const recordBytesMax = (topic: string): number =>
      topic.endsWith('.parked') ? (parkedBytesMax ?? Infinity) : Infinity;
    this.world = memoryWorld({
      clock,
      random,
      sessionMs,
      crashNoticedMs,
      recordBytesMax,
      ...(delays && { delays }),
      ...plant?.world,
    });
    this.contracts = contractsOf(plan);
    this.checks = new Checks(ledger, plan, this.contracts);
    this.#senders = new Senders(plan, this.contracts, ledger, this.checks);
    this.#modules = new Modules(plan, this.contracts, this.checks, this.#senders);
    this.#dice = dice(seed, 4);
    this.#stranger = new Stranger(this.world.process('stranger'), this.checks, this.#dice);
    this.#faults = new CallFaults(plan, ledger, {
      instance: (name) => this.checks.instances.get(name),
      crashes: (instance) => this.#died(instance),
      refuses: (operation, instance) => this.#disks.refuses(operation, instance),
    });
    this.#disks = new Disks({
      ledger,
      dice: dice(seed, 11),
      restart: (instance, how) => {
        if (how === 'kill') this.#kills(instance);
        else this.#leaves(instance);
      },
    });
    const slots = (module: Module, count: number): Slot[] =>
      Array.from({ length: count }, (_, number) => ({ module, number, lives: 0, current: undefined }));
    this.#slots = [...slots('jobs', plan.workers), ...slots('index', plan.listeners), ...slots('facts', plan.sources)];
  }

  start(): void {
    this.world.faults = this.#faults.script;
    for (const slot of this.#slots) this.#start(slot);
    for (const event of this.plan.faults.events) this.clock.after(event.atMs, () => this.#befall(event));
  }

  /** Ends the faults and thaws frozen instances. */
  heal(): void {
    this.ledger.note('the faults have ended');
    this.#faults.stop();
    this.#healed = true;
    for (const { current } of this.#slots) {
      current?.thaw();
    }
    this.clock.after(calmAfterMs, () => this.#askCalmly());
  }

  /** Once all instances are running again, requests are answered, also by an instance that leaves meanwhile. */
  #askCalmly(): void {
    const { alive } = this;
    void this.#checkListed();
    const workers = alive.filter(({ module }) => module === 'jobs');
    const [worker, ...others] = workers;
    for (const instance of alive) if (instance.module === 'facts') this.#senders.askCalmly(instance, others);
    if (worker && others.length > 0) this.clock.after(this.#dice.whole(0, 100), () => void this.leave(worker));
  }

  async #checkListed(): Promise<void> {
    const up = this.alive.filter(({ ready, leaving }) => ready && !leaving);
    const listed = new Set((await this.world.process('reader').registry.all()).map(({ name }) => name));
    for (const { name, dead, leaving } of up)
      if (!listed.has(name) && !dead && !leaving) this.ledger.breaks('listed', `${name} is up and not announced`);
  }

  get alive(): readonly Instance[] {
    return this.#slots.flatMap(({ current }) => (current && !current.dead ? [current] : []));
  }

  #start(slot: Slot): void {
    if (++this.#starts > startsMax) return this.ledger.breaks('progress', `more than ${startsMax} instances started`);
    const { sessionMs, delays } = this.plan;
    const process = this.world.process(`${slot.module}#${slot.number}x${++slot.lives}`);
    const instance = new Instance(slot.module, process, this.ledger, sessionMs, delays?.maxMs ?? 0);
    slot.current = instance;
    this.checks.instances.set(process.name, instance);
    this.#slotOf.set(instance, slot);
    this.ledger.note(`${instance.name} starts`);
    const built = buildBus(this.#partsOf(instance));
    instance.opens(built);
    this.#begin(instance, built.opened).catch((error: unknown) => this.#failedStart(instance, error));
  }

  #failedStart(instance: Instance, error: unknown): void {
    if (instance.dead) return;
    this.ledger.note(`${instance.name} could not start: ${String(error)}`);
    this.ledger.count('starts that failed');
    this.#died(instance);
    instance.process.crash(); // like a module that cannot open its bus: it ends, and is started again
  }

  async #begin(instance: Instance, opened: Promise<void>): Promise<void> {
    await opened;
    await this.#modules.begin(instance);
    if (instance.dead || instance.leaving) return;
    instance.ready = true;
    this.ledger.note(`${instance.name} is up`);
    if (instance.module === 'facts') await this.#senders.run(instance);
  }

  #partsOf(instance: Instance): BusParts {
    const { process, clock } = instance;
    const { commitMs, sessionMs, keepMs, timeoutMs, delays } = this.plan;
    const planted = this.plant?.log?.(process.log, this.#dice, process.clock) ?? process.log;
    const lingerMs = delays ? delays.maxMs * 4 : 0;
    const timings = { drainMs: 5_000, commitMs, sessionMs, keepMs, lingerMs, messageBytesMax: 100_000 };
    const parts = memoryBusParts({ ...process, clock }, timings);
    this.#disks.reportsTo(instance, this.plant?.storeNotices?.(parts.notices) ?? parts.notices);
    return {
      ...parts,
      live: liveConfig({ ...defaults, timeoutMs }, parts.notices, clock),
      log: watchLog(this.#faults.logOf(planted, instance), instance, this.checks),
      ns: 'sim',
      ...(this.plant?.makeFilter && { makeFilter: this.plant.makeFilter }),
      ...(this.plant?.makeIdWindow && { makeIdWindow: this.plant.makeIdWindow }),
      ...(this.plant?.makeWatermark && { makeWatermark: this.plant.makeWatermark }),
      ...(this.plant?.makeRetained && { makeRetained: this.plant.makeRetained }),
      ...(this.plant?.makeUnkept && { makeUnkept: this.plant.makeUnkept }),
    };
  }

  #befall({ what, whom, forMs }: FaultEvent): void {
    const slot = this.#slots[whom % this.#slots.length];
    const instance = slot?.current;
    this.ledger.note(`event ${what} ${instance?.name} for ${forMs} ms`);
    this.ledger.count(`fault ${what}`);
    if (what === 'slow log') return this.#faults.slowLog(forMs);
    if (what === 'no log') return this.#faults.noLog(forMs);
    if (what === 'rebalance') return this.#rebalance();
    if (what === 'no group') return this.#cutOff(forMs);
    if (what === 'strange bytes') return void this.#stranger.write(this.plan.keys);
    if (!slot || !instance || instance.dead) return;
    if (what === 'leave') return this.#leaves(instance);
    if (what === 'again') return this.#again(instance);
    if (what === 'freeze') return this.#freeze(instance, forMs);
    if (what === 'expire') return this.#expire(instance);
    if (what === 'store refuses') return this.#disks.break(instance);
    if (what === 'files removed') return this.#unlist(instance);
    this.#kills(instance);
  }
  #leaves(instance: Instance): void {
    const slot = this.#slotOf.get(instance);
    void this.leave(instance).then(() => slot && this.#startLater(slot));
  }
  #kills(instance: Instance): void {
    this.#died(instance);
    instance.process.crash();
  }
  /** Removes its announcement. Callers do not find it until it is announced again. */
  #unlist(instance: Instance): void {
    instance.expires();
    instance.process.removeAnnouncement();
  }

  #rebalance(): void {
    for (const [group, topic] of this.checks.joined) this.world.rebalance(group, topic);
  }
  /**
   * Makes the coordinator unreachable: after most of a session all members lose their partitions, frozen ones without
   * detecting it.
   */
  #cutOff(forMs: number): void {
    for (const [group, topic] of this.checks.joined) this.world.cutOff(group, topic, forMs);
    const fencedMs = this.plan.sessionMs * fenceShare;
    if (forMs < fencedMs) return;
    this.clock.after(fencedMs, () => {
      for (const instance of this.alive) instance.expires();
    });
  }
  #again(instance: Instance): void {
    if (!instance.ready || instance.leaving || instance.served.length === 0) return;
    this.#modules.again(instance).catch((error: unknown) => {
      if (!instance.leaving) this.#failedStart(instance, error);
    });
  }
  #freeze(instance: Instance, forMs: number): void {
    instance.freeze();
    this.clock.after(forMs, () => instance.thaw());
  }
  #expire(instance: Instance): void {
    instance.expires();
    instance.process.expire();
  }

  /** Its process ends, and another one is started. */
  #died(instance: Instance): void {
    const slot = this.#slotOf.get(instance);
    this.ledger.note(`${instance.name} dies`);
    this.ledger.count('deaths');
    instance.dying = true;
    if (slot) this.#startLater(slot);
  }
  #startLater(slot: Slot): void {
    this.clock.after(this.#dice.whole(5, 1_500), () => {
      if (slot.current?.dying && !slot.current.dead) return this.#startLater(slot); // the call that ends it is still pending
      if (!slot.current || slot.current.dead) this.#start(slot);
    });
  }

  end(parked: readonly Stored[]): void {
    this.checks.end(parked);
    this.#stranger.end(parked);
  }

  /** Closes its bus like a process that received SIGTERM; one that hangs is killed. */
  async leave(instance: Instance): Promise<void> {
    if (instance.leaving) return;
    instance.leaving = true;
    this.ledger.note(`${instance.name} leaves`);
    const calm = this.#healed;
    const bad = (how: string): void => {
      this.ledger.note(`${instance.name} ${how}`);
      if (calm) this.badLeaves.push(`${instance.name} ${how}`);
    };
    const patience = this.clock.after(leaveMsMax, () => {
      if (!instance.dead) bad(`has not left within ${leaveMsMax} ms`);
      this.#kill(instance);
    });
    try {
      await instance.bus.close();
      instance.leftWell = !instance.dead;
      if (instance.timers > 0) bad(`left with ${instance.timers} timers set`);
      this.ledger.note(`${instance.name} has left`);
    } catch (error) {
      bad(`left with ${String(error)}`);
    }
    patience.cancel();
    this.#kill(instance);
  }
  #kill(instance: Instance): void {
    if (!instance.dead) instance.process.crash();
  }
}

/** This long after the faults all instances are running and known to each other. */
const calmAfterMs = 15_000;
const leaveMsMax = 30_000;

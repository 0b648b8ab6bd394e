/** A machine with a spool: its log, and its processes, which send, crash, freeze, leave and are started again. */
import { sleep, type Clock } from '../../src/base/clock';
import { errorMessage, isBusError } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { openScopes } from '../../src/delivery/context';
import { incarnation } from '../../src/format/id';
import type { MemoryProcess, MemoryWorld } from '../../src/memory';
import { drainGroup } from '../../src/spool/drain';
import { openSpool, type Spool } from '../../src/spool/spool';
import { openSender } from '../../src/work/submit';
import type { Sender } from '../../src/work/types';
import type { Dice } from './dice';
import type { Ledger } from './ledger';
import { serverLog, tornLists, type SpoolFaultPlan, type SpoolFaults } from './spool-faults';
import { recordBytesMax, type SpoolJudge } from './spool-judge';
import type { SpoolPlant } from './spool-plants';
import { SpoolWatch } from './spool-watch';

/** State of the scene that all machines share. */
export interface SpoolScene {
  readonly clock: Clock;
  readonly dice: Dice;
  readonly ledger: Ledger;
  readonly judge: SpoolJudge;
  readonly servers: MemoryWorld;
  readonly plan: SpoolFaultPlan;
  readonly plant: SpoolPlant | undefined;
  readonly keys: readonly [string, ...string[]];
  /** Number of jobs that are sent before the faults have ended, at most. */
  readonly jobsMax: number;
  /** True if each job has a sender of its own. */
  readonly hasShortSenders: boolean;
  /** `calm`: the faults have ended · `over`: no job is sent · `closing`: no process is started. */
  phase: 'faults' | 'calm' | 'over' | 'closing';
  /** Number of processes that were started on all machines. */
  starts: number;
  readonly note: (what: string) => void;
  /** See {@link SpoolFaults.tear}. */
  readonly tear: SpoolFaults['tear'];
}

/** Most processes that are started during the faults. */
const startsMax = 50;

/** A place for one process: one that ends is followed by another one. */
interface Slot {
  readonly number: number;
  starts: number;
  current: Process | undefined;
}
export interface Process {
  readonly name: string;
  readonly slot: Slot;
  readonly local: MemoryProcess;
  readonly server: MemoryProcess;
  spool: Spool | undefined;
  sender: Sender | undefined;
  /** Opens a further sender of the process. */
  makeSender: (() => Sender) | undefined;
  /** Number of further senders. */
  senders: number;
  isLeaving: boolean;
}

export class Machine {
  readonly #slots: readonly Slot[];
  readonly #watch: SpoolWatch;
  /** All processes that were started, by name. */
  readonly processes = new Map<string, Process>();

  constructor(
    readonly name: string,
    readonly world: MemoryWorld,
    count: number,
    private readonly scene: SpoolScene,
  ) {
    this.#watch = new SpoolWatch(name, scene.ledger);
    this.#slots = Array.from({ length: count }, (_, number) => ({ number, starts: 0, current: undefined }));
  }

  get alive(): readonly Process[] {
    return this.#slots.flatMap(({ current }) => (current && !isDead(current) ? [current] : []));
  }

  /** Starts a process in each free place. */
  start(): void {
    for (const slot of this.#slots) if (!slot.current) this.#start(slot);
  }

  #start(slot: Slot): void {
    const { scene } = this;
    if (++scene.starts > startsMax && scene.phase === 'faults') return;
    const name = `${this.name}p${slot.number}x${++slot.starts}`;
    const [local, server] = [this.world.process(name), scene.servers.process(name)];
    const none = { spool: undefined, sender: undefined, makeSender: undefined, senders: 0 };
    const process: Process = { name, slot, local, server, ...none, isLeaving: false };
    slot.current = process;
    this.processes.set(name, process);
    scene.note(`${name} starts`);
    this.#run(process).catch((error: unknown) => {
      scene.note(`${name} could not start: ${errorMessage(error)}`);
      this.crash(process);
    });
  }

  async #run(process: Process): Promise<void> {
    const { scene } = this;
    const sender = await this.#open(process);
    const { clock } = process.local;
    while ((scene.phase === 'faults' || scene.phase === 'calm') && !process.isLeaving) {
      if (scene.judge.count < scene.jobsMax || scene.phase === 'calm') this.#send(process, sender);
      await sleep(clock, scene.dice.whole(0, 1_500));
    }
  }

  async #open(process: Process): Promise<Sender> {
    const { local, server, name } = process;
    const { plan, plant, servers } = this.scene;
    const clock = wholeMs(local.clock);
    const reached = serverLog(server.log, clock, plan, ({ value }) => (value?.length ?? 0) > recordBytesMax);
    const watched = this.#watch.of(name, local.log, reached);
    const notices = openNotices();
    process.spool = await openSpool({
      ns: 't',
      clock,
      notices,
      log: plant?.servers?.(watched.servers, clock) ?? watched.servers,
      local: tornLists(
        plant?.local?.(watched.local, clock) ?? watched.local,
        (records) => this.scene.tear(name, records),
        () => this.crash(process),
      ),
      bytesMax: 1024 ** 3,
      topicShare: 0.5,
    });
    const outbox = plant?.outbox?.(process.spool) ?? process.spool;
    process.makeSender = () =>
      openSender({
        clock,
        random: servers.random,
        notices,
        scopes: openScopes(),
        log: server.log,
        self: { module: 'web', instance: `web#${name}` },
        ns: 't',
        incarnation: incarnation(servers.random),
        reached: 'disk',
        spool: outbox,
      });
    return (process.sender = process.makeSender());
  }

  #send(process: Process, sender: Sender): void {
    const { dice, keys, judge, hasShortSenders } = this.scene;
    const { name, makeSender } = process;
    const count = dice.pick([1, 1, 1, 2, 5]);
    const drafts = Array.from({ length: count }, () => ({ key: dice.pick(keys), isLarge: dice.chance(0.02) }));
    if (hasShortSenders && makeSender) {
      for (const draft of drafts) void judge.send(this.name, `${name}s${++process.senders}`, makeSender(), [draft], {});
      return;
    }
    const waits = dice.chance(0.1) && !drafts.some(({ isLarge }) => isLarge);
    void judge.send(
      this.name,
      name,
      sender,
      drafts,
      waits ? { until: 'broker', timeoutMs: dice.whole(1, 20_000) } : {},
    );
  }

  /** Ends both halves of a process when a fault has ended one of them. */
  followCrash(process: Process): void {
    if (isDead(process)) this.crash(process);
    else this.scene.clock.after(1, () => this.followCrash(process));
  }
  crash(process: Process): void {
    process.local.crash();
    process.server.crash();
    const { slot } = process;
    if (slot.current !== process) return;
    const { clock, dice, ledger, note, phase } = this.scene;
    note(`${process.name} has ended`);
    ledger.count('deaths');
    slot.current = undefined;
    clock.after(dice.whole(5, phase === 'faults' ? 8_000 : 1_000), () => {
      if (!slot.current && this.scene.phase !== 'closing') this.#start(slot);
    });
  }
  /** Moves the partitions of the drain to other processes, if the first message has created the topic. */
  rebalance(topic: string): void {
    try {
      this.world.rebalance(drainGroup, topic);
    } catch (error) {
      if (!isBusError(error, 'Config')) throw error;
    }
  }
  crashAll(): void {
    for (const process of this.alive) this.crash(process);
  }

  async leave(process: Process): Promise<void> {
    const { note } = this.scene;
    if (process.isLeaving) return;
    process.isLeaving = true;
    note(`${process.name} leaves`);
    await process.sender?.close();
    await process.spool?.close();
    note(`${process.name} has left`);
    this.crash(process);
  }

  freeze({ local, server }: Process): void {
    local.freeze();
    server.freeze();
  }
  thaw({ local, server }: Process): void {
    local.thaw();
    server.thaw();
  }
}

const isDead = ({ local, server }: Process): boolean => local.state === 'crashed' || server.state === 'crashed';

/** Returns a clock whose wall time is in whole milliseconds, as envelopes need it. */
export const wholeMs = (clock: Clock): Clock => ({ ...clock, now: () => Math.round(clock.now()) });

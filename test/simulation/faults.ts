/** Injects faults into a run: into single port calls, and into whole processes at the planned times. */
import { BusError, type SendOutcome } from '../../src/base/errors';
import { sleep, type Clock } from '../../src/base/clock';
import type { Fault, FaultScript, Operation } from '../../src/memory';
import type { Log, OwnedPartition } from '../../src/ports/log';
import { dice, type Dice } from './dice';
import type { Instance } from './instance';
import type { Ledger } from './ledger';
import type { Plan } from './plan';
import { resendingLog } from './resend';

/** The functions of the system that the fault script needs. */
export interface Victims {
  instance(process: string): Instance | undefined;
  /** A fault ends the instance, so another one has to be started. */
  crashes(instance: Instance): void;
  /** Returns the error when the store of the instance rejects the call. */
  refuses(operation: Operation, instance: Instance): BusError | undefined;
}

/** Faults of single calls. Some end the process; the others are drawn from this list. */
type Kind = 'drop' | 'double' | 'disconnect' | 'delay' | 'failed' | 'lost answer';
const any: readonly [Kind, ...Kind[]] = ['drop', 'double', 'disconnect', 'delay', 'delay', 'failed', 'lost answer'];
/** A repeated read, or one whose answer is lost, is read again by its reader, which is the same as a delay. */
const ofReads: readonly [Kind, ...Kind[]] = ['drop', 'disconnect', 'delay', 'failed'];
/** Duplicates are frequent, because they test the stamps. */
const ofAppends: readonly [Kind, ...Kind[]] = ['double', 'double', ...any];
const ofPackets: readonly [Kind, ...Kind[]] = ['drop', 'double', 'disconnect', 'delay', 'delay'];

export class CallFaults {
  readonly #dice: Dice;
  /** Until `tillMs` answers of the log are delayed by `byMs`; until `#awayMs` there are none. */
  #slow = { tillMs: 0, byMs: 0 };
  #awayMs = 0;
  #on = true;

  constructor(
    private readonly plan: Plan,
    private readonly ledger: Ledger,
    private readonly victims: Victims,
  ) {
    this.#dice = dice(plan.seed, 2);
  }

  stop(): void {
    this.#on = false;
  }
  slowLog(forMs: number): void {
    this.#slow = { tillMs: this.ledger.nowMs + forMs, byMs: this.#dice.whole(50, 1_000) };
  }
  noLog(forMs: number): void {
    this.#awayMs = this.ledger.nowMs + forMs;
  }

  readonly script: FaultScript = (operation) => {
    const instance = this.victims.instance(operation.process);
    if (!instance || instance.dead) return undefined;
    const refusal = this.victims.refuses(operation, instance);
    if (refusal) return { error: refusal, done: false };
    if (!this.#on) return undefined;
    const fault = this.#draw(operation, instance) ?? this.#ofTheLog(operation);
    if (fault !== undefined) this.#note(operation, fault, instance);
    return fault;
  };

  #draw(operation: Operation, instance: Instance): Fault | undefined {
    const { perCall, crash } = this.plan.faults;
    if (perCall === 0 || !this.#dice.chance(perCall)) return undefined;
    if (this.#dice.chance(crash)) {
      const fault = this.#dice.pick<Fault>(['crash-before', 'crash-after']);
      this.victims.crashes(instance);
      return fault;
    }
    return this.#make(this.#dice.pick(kindsOf(operation)), operation);
  }

  #make(kind: Kind, { call }: Operation): Fault {
    if (kind === 'delay') return { delayMs: this.#dice.whole(1, 800) };
    if (kind === 'failed' || kind === 'lost answer') {
      const done = kind === 'lost answer';
      return { error: unreachable(`${call}: ${kind}`, done ? 'unknown' : 'not-sent'), done };
    }
    return kind;
  }

  #ofTheLog({ port, call }: Operation): Fault | undefined {
    if (port !== 'log') return undefined;
    if (this.ledger.nowMs < this.#awayMs)
      return { error: unreachable(`${call}: the log is away`, 'not-sent'), done: false };
    return this.ledger.nowMs < this.#slow.tillMs ? { delayMs: this.#slow.byMs } : undefined;
  }

  #note({ port, call, process }: Operation, fault: Fault, instance: Instance): void {
    const what = typeof fault === 'string' ? fault : sayFault(fault);
    if (what === 'disconnect' && port === 'messenger') instance.misled = true;
    else if (what === 'disconnect') instance.expires();
    this.ledger.note(`fault ${what} at ${port}.${call} of ${process}`);
    this.ledger.count(`fault ${what}`);
  }

  /** Returns the log as this instance sees it: some answers are delayed, or lost so that the batch is resent. */
  logOf(log: Log, instance: Instance): Log {
    const { resend } = this.plan.faults;
    const { clock } = instance.process;
    if (resend === null) return this.#lateLog(log, clock);
    const chance = (): number => (this.#on ? resend : 0);
    return this.#lateLog(resendingLog({ log, clock, dice: this.#dice, ledger: this.ledger, chance }), clock);
  }

  #lateLog(log: Log, clock: Clock): Log {
    const late = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => {
      return async (...args: A): Promise<R> => {
        const result = await call(...args);
        if (this.#on && this.#dice.chance(this.plan.faults.late)) {
          this.ledger.count('fault late answer');
          await sleep(clock, this.#dice.whole(1, 1_500));
        }
        return result;
      };
    };
    const lateOwned = (owned: OwnedPartition): OwnedPartition => ({
      ...owned,
      commit: late((commit) => owned.commit(commit)),
    });
    return {
      ...log,
      append: late((topic, records) => log.append(topic, records)),
      join: (group, topic, owner, options) =>
        log.join(group, topic, { ...owner, onAssigned: (owned) => owner.onAssigned(lateOwned(owned)) }, options),
    };
  }
}

function kindsOf({ port, call }: Operation): readonly [Kind, ...Kind[]] {
  if (port === 'messenger' && call === 'send') return ofPackets;
  if (call === 'append') return ofAppends;
  return call === 'read' ? ofReads : any;
}
function sayFault(fault: Exclude<Fault, string>): string {
  if ('delayMs' in fault) return 'delay';
  return fault.done ? 'lost answer' : 'failed call';
}
function unreachable(message: string, outcome: SendOutcome): BusError {
  return new BusError('Unreachable', message, { outcome, waitedMs: 0 });
}

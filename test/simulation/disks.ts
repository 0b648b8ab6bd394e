/**
 * Faults by other programs and a bad disk on the files of one instance: its announcement is removed, or its store
 * rejects every call. The embedded transport recreates the announcement. After a store failure only a new process can
 * continue.
 */
import { BusError } from '../../src/base/errors';
import type { Notices } from '../../src/base/notices';
import type { Operation } from '../../src/memory';
import type { Dice } from './dice';
import type { Instance } from './instance';
import type { Ledger } from './ledger';

/** The store reports its state when a call fails, at the latest at its next check of the files. */
const lookMs = 1_000;
/** The supervisor reads the health of the processes at this interval. */
const superviseMs = 500;
const storePath = '/sim/log';

/** Calls that a store with unwritable files rejects. A store with removed files rejects reads as well. */
const writes = new Set(['append', 'commit', 'ensure', 'startGroup', 'dropGroup', 'trim']);
const reads = new Set(['read', 'tail', 'bounds', 'peek', 'topics', 'places', 'groups']);

interface Broken {
  readonly instance: Instance;
  readonly refusesReads: boolean;
  readonly sinceMs: number;
}

export interface DiskParts {
  readonly ledger: Ledger;
  readonly dice: Dice;
  /** Ends the instance and starts another one in its slot. */
  readonly restart: (instance: Instance, how: 'close' | 'kill') => void;
}

export class Disks {
  readonly #broken = new Map<string, Broken>();
  /** The notices to which the store of each instance reports. */
  readonly #notices = new Map<string, Notices>();

  constructor(private readonly parts: DiskParts) {}

  reportsTo(instance: Instance, notices: Notices): void {
    this.#notices.set(instance.name, notices);
  }

  /** Makes the store of the instance reject every write permanently. */
  break(instance: Instance): void {
    if (this.#broken.has(instance.name)) return;
    const { ledger, dice } = this.parts;
    const refusesReads = dice.chance(0.5);
    instance.cannotCommit = true;
    this.#broken.set(instance.name, { instance, refusesReads, sinceMs: ledger.nowMs });
    ledger.clock.after(dice.whole(0, lookMs), () => {
      const reason = `${storePath} was removed or cannot be written`;
      this.#notices.get(instance.name)?.emit({ type: 'state', part: 'store', ok: false, reason, final: true });
    });
    this.#supervise(instance, dice.chance(0.5) ? 'close' : 'kill');
  }

  /** Returns the error of a call of an instance whose store is broken. */
  refuses({ port, call }: Operation, instance: Instance): BusError | undefined {
    const broken = this.#broken.get(instance.name);
    if (!broken || port !== 'log') return undefined;
    if (!writes.has(call) && !(broken.refusesReads && reads.has(call))) return undefined;
    const cause = 'the simulated disk rejects it';
    const message = `${storePath} cannot be used: ${cause}`;
    return new BusError('StoreBroken', message, { outcome: 'not-sent', path: storePath, cause });
  }

  /** Restarts the instance when its health reports that it is not live, as a supervisor does. */
  #supervise(instance: Instance, how: 'close' | 'kill'): void {
    const { ledger, restart } = this.parts;
    ledger.clock.after(superviseMs, () => {
      if (instance.dead || instance.leaving) return;
      const { live, ready } = instance.bus.health();
      const sinceMs = this.#broken.get(instance.name)?.sinceMs ?? 0;
      if (live && ledger.nowMs - sinceMs < 2 * lookMs) return this.#supervise(instance, how);
      if (live || ready) {
        const state = `live ${live} and ready ${ready}`;
        return ledger.breaks('health', `${instance.name}, whose store rejects every write, is ${state}`);
      }
      ledger.note(`${instance.name} is not live: ${how}`);
      ledger.count('restarts');
      restart(instance, how);
    });
  }
}

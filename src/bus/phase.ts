/** Phase of a bus: decides which calls it accepts, and tracks the steps of opening that are in progress. */
import type { Clock } from '../base/clock';
import { BusError } from '../base/errors';
import { currentScope, type Scopes } from '../delivery/context';

/** `leaving`: close was called, and handlers that still run can send. `closed`: nothing can send. */
type PhaseName = 'open' | 'leaving' | 'closed';

export interface Phase {
  readonly name: PhaseName;
  /** Moves on to the next phase. */
  enter(next: PhaseName): void;
  /** Throws Closed after `close` was called. Handlers that still run can send while the bus is leaving. */
  mustBeOpen(): void;
  /** Returns the step, and tracks it until it settles. */
  start<T>(step: Promise<T>): Promise<T>;
  /** Steps in progress. Closing waits for them, so that nothing is opened after the bus was closed. */
  readonly starting: ReadonlySet<Promise<unknown>>;
}

/** Dependencies of {@link openPhase}. `instance` is named in errors. */
export interface PhaseParts {
  readonly clock: Clock;
  readonly scopes: Scopes;
  readonly instance: string;
}

export function openPhase({ clock, scopes, instance }: PhaseParts): Phase {
  const starting = new Set<Promise<unknown>>();
  let name: PhaseName = 'open';
  let sinceMs = clock.now();
  return {
    get name() {
      return name;
    },
    enter(next) {
      [name, sinceMs] = [next, clock.now()];
    },
    mustBeOpen() {
      if (name === 'open' || (name === 'leaving' && currentScope(scopes)?.id !== undefined)) return;
      throw new BusError('Closed', `the bus of ${instance} was closed`, {
        outcome: 'not-sent',
        sinceMs: clock.now() - sinceMs,
      });
    },
    start(step) {
      const ended = (): void => void starting.delete(step);
      starting.add(step);
      step.then(ended, ended);
      return step;
    },
    starting,
  };
}

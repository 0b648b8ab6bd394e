/** Announces this instance, and the contracts that it serves, in the registry. */
import { BusError, errorMessage, isBusError } from '../base/errors';
import type { Messenger } from '../ports/messenger';
import type { Instance, Registry } from '../ports/registry';
import type { Phase } from './phase';

export interface Announcer {
  /**
   * Announces a contract, or withdraws it if `fingerprint` is undefined. Resolves when other instances can see that.
   * Announces nothing after the bus was closed.
   */
  readonly announce: (contract: string, fingerprint: string | undefined) => Promise<void>;
  /** Announces that this instance is leaving. Other instances count one that vanishes unannounced as crashed. */
  leave(): Promise<void>;
}

interface AnnouncerParts {
  readonly registry: Pick<Registry, 'announce'>;
  readonly phase: Pick<Phase, 'name'>;
  readonly messenger: Pick<Messenger, 'address'>;
  /** Fields of the announcement that never change. */
  readonly instance: Omit<Instance, 'address' | 'serves' | 'leaving'>;
}

export function createAnnouncer({ registry, phase, messenger, instance }: AnnouncerParts): Announcer {
  const serves: Record<string, string> = {};
  async function announce(leaving: boolean): Promise<void> {
    try {
      await registry.announce({ ...instance, address: messenger.address, serves: { ...serves }, leaving });
    } catch (error) {
      throw isBusError(error) ? error : notAnnounced(instance.name, error);
    }
  }
  return {
    async announce(contract, print) {
      if (print === undefined) delete serves[contract];
      else serves[contract] = print;
      if (phase.name !== 'closed') await announce(phase.name === 'leaving');
    },
    leave: () => announce(true),
  };
}

function notAnnounced(instance: string, error: unknown): BusError<'Unreachable'> {
  const cause = errorMessage(error);
  const message = `${instance} could not be announced, so other instances do not see what it serves now: ${cause}`;
  const remedy = 'Repair what the cause names, then make the same call again.';
  return new BusError('Unreachable', message, { outcome: 'not-sent', waitedMs: 0, cause }, error, remedy);
}

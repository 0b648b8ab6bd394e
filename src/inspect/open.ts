/** Opens an inspector on the system that the configuration of this process selects. */
import { systemRandom } from '../base/clock';
import { closable, type Closable } from '../base/lifecycle';
import type { Bus } from '../bus/types';
import type { Settings } from '../ports/settings';
import { openToLook, type OpenOptions } from '../open';
import { openInspector, type Inspector } from './inspector';
import { consoleModule } from './instances';
import type { InspectorParts } from './types';

/** An open inspection: the inspector, and what it reads and sends with. Close it after use. */
export interface Inspection extends Closable {
  readonly inspector: Inspector;
  /** Sends messages and requests as an instance of the module `console`. */
  readonly bus: Bus;
  readonly parts: InspectorParts;
  /** Reads and changes the settings of the system. */
  readonly settings: Settings;
}
/** Options of the bus, which override files and variables, and limits for the inspection. */
export interface InspectOptions extends Omit<OpenOptions, 'module' | 'incoming' | 'onNotice'> {
  /**
   * Timeout for the answer of one instance, in ms.
   * @default 2_000
   */
  readonly answerMs?: number;
  /** Called with a message that has the server's address, when a server does not answer at once. */
  readonly waiting?: (message: string) => void;
}

/**
 * Opens an inspection of the system that the options and the configuration of this process select. It joins no group
 * and creates nothing.
 *
 * Rejects with Config for wrong options, and with Unreachable when no bus was ever opened with them or the servers do
 * not respond.
 *
 * @example
 * import { inspect } from 'busbar/inspect';
 *
 * await using inspection = await inspect();
 * const { alarms } = await inspection.inspector.status();
 */
export async function inspect(options: InspectOptions = {}): Promise<Inspection> {
  const { answerMs, waiting, ...rest } = options;
  const { bus, ports } = await openToLook({ ...rest, module: consoleModule }, waiting);
  const { log, registry, settings, ns, clock } = ports;
  const parts: InspectorParts = {
    log,
    registry,
    ns,
    clock,
    random: systemRandom,
    bus,
    ...(answerMs !== undefined && { answerMs }),
  };
  return { inspector: openInspector(parts), bus, parts, settings, ...closable(() => bus.close()) };
}

/** Opens an inspector on the system that the configuration of this process means. */
import { systemRandom } from '../base/clock';
import { closable, type Closable } from '../base/lifecycle';
import type { Bus } from '../bus/types';
import type { Settings } from '../ports/settings';
import { openToLook, type OpenOptions } from '../open';
import { openInspector, type Inspector } from './inspector';
import { consoleModule } from './instances';
import type { InspectorParts } from './types';

export interface Inspection extends Closable {
  readonly inspector: Inspector;
  /** To send with; an instance of the module `console`. */
  readonly bus: Bus;
  readonly parts: InspectorParts;
  /** To look at and to change. */
  readonly settings: Settings;
}
/** Options of the bus, over files and variables; and how much looking may take. */
export interface InspectOptions extends Omit<OpenOptions, 'module' | 'incoming' | 'hear'> {
  /** How long an instance may take to answer, in ms. Default 2,000. */
  readonly answerMs?: number;
  /** Called when a server does not answer at once, with its address. */
  readonly waiting?: (message: string) => void;
}

/** Rejects with Unreachable where no bus was ever opened; creates nothing. */
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

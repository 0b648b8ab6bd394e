/** Asks a live instance whether it would take a body. */
import { isBusError } from '../base/errors';
import { moduleOf } from '../contract/contract';
import { selfContract, type CheckAnswer } from '../bus/self-contract';
import type { InspectorParts } from './types';

/** What an instance says of an entry that it knows. */
export type Known = Extract<CheckAnswer, { known: true }>;
/** What those say that do not know it. */
export interface Unknown {
  readonly known: false;
  /** Instances that serve its module. */
  readonly instances: number;
  /** Entries that they do know. */
  readonly entries: readonly string[];
}

/** Instances that are asked one after the other before giving up. */
const triesMax = 3;

/** Asks instances that serve the module of `entry` until one knows it. */
export async function askCheck(parts: InspectorParts, entry: string, body: unknown): Promise<Known | Unknown> {
  const { registry, bus, answerMs = 2_000 } = parts;
  const module = moduleOf({ name: entry });
  const serving = (await registry.all()).filter(({ serves }) => Object.hasOwn(serves, module));
  const entries = new Set<string>();
  for (const { name } of serving.slice(0, triesMax)) {
    try {
      const answer = await bus.request(selfContract.check, { entry, body }, { to: name, timeoutMs: answerMs });
      if (answer.known) return answer;
      for (const one of answer.entries) if (moduleOf({ name: one }) === module) entries.add(one);
    } catch (error) {
      if (!isBusError(error, 'Timeout', 'NoHandler', 'ResponderLost', 'Unreachable', 'Closed')) throw error;
    }
  }
  return { known: false, instances: serving.length, entries: [...entries] };
}

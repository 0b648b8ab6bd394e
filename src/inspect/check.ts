/** Requests from a live instance the check of a body against the schema of an entry. */
import { isBusError } from '../base/errors';
import { moduleOf } from '../contract/contract';
import { selfContract, type CheckAnswer } from '../bus/self-contract';
import type { InspectorParts } from './types';

/** The answer of an instance that knows the entry. */
export type Known = Extract<CheckAnswer, { known: true }>;
/** The result when no requested instance knows the entry. */
export interface Unknown {
  readonly known: false;
  /** Number of instances that serve its module. */
  readonly instances: number;
  /** Entries of the module that the answering instances know. */
  readonly entries: readonly string[];
}

/**
 * Maximum number of instances that are requested, one after the other. It bounds the wait when instances do not answer.
 */
const triesMax = 3;

/**
 * Checks a body with the schema of `entry`, which an instance that serves its module has. Requests the check from up to
 * three instances, until one of them knows the entry. Instances that do not answer are skipped.
 *
 * Resolves with its issues, key and queue, or with `known: false` when no instance knows the entry.
 */
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

/** Asks a live instance whether it would take a body. */
import { isBusError } from '../base/errors';
import { moduleOf } from '../contract/contract';
import { selfContract, type CheckAnswer } from '../bus/self';
import type { InspectorParts } from './types';

/** What an instance says of an entry that it knows. */
export type Known = Extract<CheckAnswer, { known: true }>;

/** Instances that are asked one after the other before giving up. */
const triesMax = 3;

/** Undefined when no instance that answers knows the entry. */
export async function askCheck(parts: InspectorParts, entry: string, body: unknown): Promise<Known | undefined> {
  const { registry, bus, answerMs = 2_000 } = parts;
  const module = moduleOf({ name: entry });
  const serving = (await registry.all()).filter(({ serves }) => Object.hasOwn(serves, module));
  for (const { name } of serving.slice(0, triesMax)) {
    try {
      const answer = await bus.request(selfContract.check, { entry, body }, { to: name, timeoutMs: answerMs });
      if (answer.known) return answer;
    } catch (error) {
      if (!isBusError(error, 'Timeout', 'NoHandler', 'ResponderLost', 'Unreachable', 'Closed')) throw error;
    }
  }
  return undefined;
}

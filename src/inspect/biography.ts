/** Describes the biography of a message in one sentence and a timeline. */
import { sentenceOf } from './biography-sentence';
import { stepsOf, type Step } from './biography-steps';
import type { Facts } from './why';

/** The biography of a message. */
export interface Biography {
  readonly id: string;
  /** The entry; empty when nothing names it. */
  readonly entry: string;
  /** The current state in one sentence, with the cause. */
  readonly sentence: string;
  /** The steps, in the order of time. Those without a time are the last ones. */
  readonly steps: readonly Step[];
  /** Commands to run next. */
  readonly next: readonly string[];
  readonly facts: Facts;
}

export function biographyOf(facts: Facts): Biography {
  const entry = entryOf(facts);
  const said = sentenceOf(facts);
  return {
    id: facts.id,
    entry,
    sentence: `${entry || 'a message'} ${facts.id} ${said.text}`,
    steps: stepsOf(facts),
    next: said.next,
    facts,
  };
}

function entryOf({ found, held, running, waiting, pending, ended, repaired }: Facts): string {
  const named = [...found.map(({ message }) => message), ...held, ...running, ...waiting, ...pending, ...ended];
  return [...named, ...repaired].find(({ entry }) => entry !== '')?.entry ?? '';
}

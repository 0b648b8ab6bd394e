/**
 * Checks the options of entries and listeners when they are declared, because a wrong option would otherwise fail only
 * later.
 */
import { didYouMean, nearest } from '../base/errors';
import type { AnyEntry } from './types';

const day = 86_400_000;

/**
 * Limits of numeric options, in ms where the name ends in `Ms`. Settings that override these options have the same
 * limits.
 */
export const bounds = {
  timeoutMs: { min: 1, max: day },
  attempts: { min: 1, max: 1_000 },
  backoffMs: { min: 0, max: day },
  handoverMs: { min: 0, max: day },
  concurrency: { min: 1, max: 10_000 },
  keepMs: { min: 1_000, max: 3_650 * day },
} as const;

/** Returns the requirement as the end of a sentence when the value violates it; undefined otherwise. */
type Rule = (value: unknown) => string | undefined;

function whole({ min, max }: { readonly min: number; readonly max: number }, unit = ''): Rule {
  return (value) =>
    Number.isInteger(value) && Number(value) >= min && Number(value) <= max
      ? undefined
      : `a whole number${unit} from ${min} to ${max}`;
}
const name = /^[a-z][a-zA-Z0-9-]{0,62}$/;
const isName: Rule = (value) =>
  typeof value === 'string' && name.test(value) ? undefined : `a string that matches ${name.source}`;

const rules = {
  timeoutMs: whole(bounds.timeoutMs, ' of ms'),
  idempotent: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
  key: (value) => (typeof value === 'function' ? undefined : 'a function that returns a string'),
  attempts: whole(bounds.attempts),
  retry: (value) => (value === 'in-order' || value === 'aside' ? undefined : "'in-order' or 'aside'"),
  backoffMs: whole(bounds.backoffMs, ' of ms'),
  handoverMs: whole(bounds.handoverMs, ' of ms'),
  queue: isName,
  keepMs: whole(bounds.keepMs, ' of ms'),
  as: isName,
  from: (value) =>
    value === 'start' || value === 'end' || (value instanceof Date && !Number.isNaN(value.getTime()))
      ? undefined
      : "'start', 'end' or a valid Date",
  concurrency: whole(bounds.concurrency),
  /** It can be a fraction: 0.1 is one message in ten seconds. */
  perSecond: (value) => (typeof value === 'number' && value > 0 ? undefined : 'a number above 0'),
} satisfies Record<string, Rule>;
type OptionName = keyof typeof rules;

const retrying = ['attempts', 'retry', 'backoffMs', 'handoverMs'] as const;
const namesOf = {
  request: ['timeoutMs', 'idempotent'],
  work: ['key', ...retrying, 'queue', 'keepMs'],
  broadcast: [],
  event: ['key', 'keepMs'],
  listener: ['as', 'from', ...retrying, 'concurrency', 'perSecond'],
} as const satisfies Record<AnyEntry['kind'] | 'listener', readonly OptionName[]>;

/** Returns all faults in the options that were declared for `about`. Options that are undefined count as absent. */
export function faultsOf(about: string, kind: keyof typeof namesOf, given: object): string[] {
  const names: readonly OptionName[] = namesOf[kind];
  return Object.entries(given).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const known = names.find((one) => one === name);
    return known === undefined ? [describeUnknown(about, kind, name, names)] : faultOf(about, known, value);
  });
}

/** Returns the fault of one option; an empty list when it is valid. */
export function faultOf(about: string, name: OptionName, value: unknown): string[] {
  const mustBe = rules[name](value);
  return mustBe === undefined ? [] : [`${about}: ${name} is ${show(value)}; it must be ${mustBe}`];
}

function describeUnknown(about: string, kind: string, name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  const there = names.length > 0 ? `; the options are ${names.join(', ')}` : '';
  return `${about}: '${name}' is not an option of ${kind}${near === undefined ? there : didYouMean(near)}`;
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.slice(0, 80)}'`;
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value);
  return `of type ${typeof value}`;
}

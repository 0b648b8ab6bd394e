/**
 * Checks of the arguments of the verbs, for callers without a compiler or with a lost type. They get an error with
 * names instead of a TypeError from inside the bus.
 */
import { BusError, didYouMean, nearest } from '../base/errors';
import { CONTRACT, type AnyContract, type AnyEntry } from '../contract/types';

const verbs = { request: 'request', work: 'submit', broadcast: 'broadcast', event: 'publish' } as const;

const callRemedy = 'Correct the call in the code: pass the entry, contract and options that the message requires.';

/** Throws Config if `entry` is not an entry of this kind. */
export function mustBe(entry: AnyEntry, kind: AnyEntry['kind']): void {
  // The types claim that it exists, but JavaScript callers and circular imports can pass undefined.
  if ((entry as AnyEntry | undefined)?.kind === kind && entry.name !== '') return;
  throw fault(`bus.${verbs[kind]}: ${describeEntry(entry, kind)}`);
}

function describeEntry(given: unknown, kind: AnyEntry['kind']): string {
  if (given === undefined || given === null)
    return `the entry is ${given}: a name that the contract does not have, or two files that import each other`;
  if (typeof given !== 'object' || !('kind' in given) || !('name' in given))
    return `${describeValue(given)} is not an entry. Pass one of a contract, such as photos.add`;
  const { kind: found, name } = given as AnyEntry;
  if (name === '') return 'the entry belongs to no contract. Pass the entry of the contract that defineModule returned';
  const verb = (verbs as Record<string, string | undefined>)[found];
  if (verb === undefined) return `${name} is not an entry. Pass one of a contract, such as photos.add`;
  return `${name} is of the kind ${found}: use bus.${verb}, not bus.${verbs[kind]}`;
}

function describeValue(given: unknown): string {
  return typeof given === 'string' ? `'${given.slice(0, 80)}'` : `a value of type ${typeof given}`;
}

/** Throws Config if the value is not a contract. */
export function mustBeContract(contract: AnyContract, verb: string): void {
  const given = contract as AnyContract | null | undefined;
  if (typeof given === 'object' && typeof given?.[CONTRACT] === 'string') return;
  const circular =
    given === undefined ? '. Do two files import each other?' : '. Pass the contract that defineModule returned';
  throw fault(
    `${verb}: ${given === undefined ? 'the contract is undefined' : 'the value is not a contract'}${circular}`,
  );
}

type Check = (value: unknown) => string | undefined;
const isText: Check = (value) => (typeof value === 'string' ? undefined : 'a string');
const isDuration: Check = (value) =>
  typeof value === 'number' && value >= 0 ? undefined : 'a number of ms, 0 or more';
const isSignal: Check = (value) =>
  typeof value === 'object' && value !== null && 'aborted' in value ? undefined : 'an AbortSignal';
const isFunction: Check = (value) => (typeof value === 'function' ? undefined : 'a function');
const isUntil: Check = (value) => (value === 'disk' || value === 'broker' ? undefined : "'disk' or 'broker'");

/** Checks of the call options, by verb. */
const calls = {
  request: { timeoutMs: isDuration, signal: isSignal, key: isText, to: isText, waitForInstanceMs: isDuration },
  requestAll: { timeoutMs: isDuration, signal: isSignal },
  submit: { until: isUntil, timeoutMs: isDuration, id: isText },
  submitAll: { until: isUntil, timeoutMs: isDuration, id: isFunction },
  publish: { until: isUntil, timeoutMs: isDuration, id: isText },
  publishAll: { until: isUntil, timeoutMs: isDuration, id: isFunction },
  broadcast: {},
} as const satisfies Record<string, Readonly<Record<string, Check>>>;

/** Throws Config for an unknown option or an invalid value. A call without options costs nothing. */
export function checkCall(verb: keyof typeof calls, entry: AnyEntry, options: object | undefined): void {
  if (options === undefined) return;
  const known: Readonly<Record<string, Check>> = calls[verb];
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(known, name) ? known[name] : undefined;
    if (!check) throw fault(`bus.${verb}(${entry.name}): ${unknownNameMessage(name, Object.keys(known))}`);
    const mustBe = value === undefined ? undefined : check(value);
    if (mustBe !== undefined)
      throw fault(`bus.${verb}(${entry.name}): ${name} is ${show(value)}; it must be ${mustBe}`);
  }
}

/** Returns the end of a sentence about an unknown option. */
export function unknownNameMessage(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const there = known.length > 0 ? `; the options are ${known.join(', ')}` : '';
  return `'${name}' is not an option${near === undefined ? there : didYouMean(near)}`;
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value.slice(0, 80)}'`;
  return typeof value === 'number' ? String(value) : `of type ${typeof value}`;
}

/** Returns a Config error with one fault. */
export function fault(message: string, remedy = callRemedy): BusError<'Config'> {
  return new BusError('Config', message, { faults: [message] }, undefined, remedy);
}

/** Declares what a module takes in and says: four kinds of entries, and the contract that names them. */
import { BusError } from '../base/errors';
import type {
  AnyContract,
  AnyEntry,
  Broadcast,
  Contract,
  EntryOptions,
  Event,
  In,
  NotABusCode,
  NotReserved,
  Out,
  Request,
  RetryKind,
  Same,
  Schema,
  Schemas,
  SomeEntry,
  Work,
} from './types';
import { faultsOf } from './options';
import { CONTRACT } from './types';

export interface RequestOptions<E> {
  /** Failures a handler may answer with, by name; the caller gets them typed. Names of bus codes do not compile. */
  readonly failures?: E;
  /** How long a caller waits, in ms, unless the call says otherwise. Default 5,000. */
  readonly timeoutMs?: number;
  /** Doing it twice is doing it once: it may be asked again elsewhere when its instance dies. Default false. */
  readonly idempotent?: boolean;
}
/** A question to one live instance, with one reply. */
export function request<I extends Schema, O extends Schema, E extends Schemas = {}>(
  input: I,
  output: O,
  options: RequestOptions<E & NotABusCode<E>> = {},
  // Written out here: under a name of its own the compiler would keep the name, with the schema types, in every .d.ts.
): Request<
  Same<In<I>, Out<I>> extends true
    ? Same<In<O>, Out<O>> extends true
      ? { input: In<I>; reply: In<O>; failures: { [K in keyof E]: { given: In<E[K]>; data: Out<E[K]> } } }
      : {
          input: In<I>;
          reply: In<O>;
          output: Out<O>;
          failures: { [K in keyof E]: { given: In<E[K]>; data: Out<E[K]> } };
        }
    : Same<In<O>, Out<O>> extends true
      ? { input: In<I>; body: Out<I>; reply: In<O>; failures: { [K in keyof E]: { given: In<E[K]>; data: Out<E[K]> } } }
      : {
          input: In<I>;
          body: Out<I>;
          reply: In<O>;
          output: Out<O>;
          failures: { [K in keyof E]: { given: In<E[K]>; data: Out<E[K]> } };
        }
> {
  const { failures, ...rest } = options;
  return entry('request', { input, output, ...(failures && { failures }) }, rest);
}

export interface WorkOptions<B> {
  /** Messages of one key are handled one after the other, in the order sent. Default: each message has its own key. */
  readonly key?: (body: B) => string;
  /**
   * How often a handler is tried before the message is parked. With the default backoffMs, the default attempts span
   * one to two minutes, such as the restart of a database.
   * @default 8
   */
  readonly attempts?: number;
  /** What the messages of its key do while a failed one waits. Default 'in-order'. */
  readonly retry?: RetryKind;
  /**
   * Longest wait before the second attempt, in ms. It doubles with each attempt, up to a minute. Each wait is a random
   * one between half of that and all of it, so that messages that failed together do not come back together.
   * @default 1_000
   */
  readonly backoffMs?: number;
  /** How long a handler may go on when its partition must move, in ms. Default 30,000. */
  readonly longestMs?: number;
  /** Gives the entry a topic of its own, so that it neither waits for others nor delays them. */
  readonly queue?: string;
}
/** A job for one instance, kept until it was done or parked. */
export function work<I extends Schema>(
  input: I,
  options: WorkOptions<Out<I>> = {},
): Work<Same<In<I>, Out<I>> extends true ? { input: In<I> } : { input: In<I>; body: Out<I> }> {
  return entry('work', { input }, options);
}

/** A command to every instance of the module that is up; not kept. */
export function broadcast<I extends Schema>(
  input: I,
): Broadcast<Same<In<I>, Out<I>> extends true ? { input: In<I> } : { input: In<I>; body: Out<I> }> {
  return entry('broadcast', { input }, {});
}

export interface EventOptions<B> {
  /** Events of one key keep their order. Default: none do. */
  readonly key?: (body: B) => string;
}
/** A fact that the module tells; whoever listens hears it. */
export function event<I extends Schema>(
  input: I,
  options: EventOptions<Out<I>> = {},
): Event<Same<In<I>, Out<I>> extends true ? { input: In<I> } : { input: In<I>; body: Out<I> }> {
  return entry('event', { input }, options);
}

// `never`: '~types' exists for the compiler only, so no value could be written that has it.
function entry(kind: AnyEntry['kind'], schemas: object, options: object): never {
  return { kind, name: '', schemas, options: Object.freeze({ ...options }) } as never;
}

/** A schema that checks nothing, for a contract taken over from code without schemas. */
export function unchecked<T>(): Schema<T> {
  // The cast is the point: the caller vouches for the type.
  return { '~standard': { version: 1, vendor: 'busbar', validate: (value) => ({ value: value as T }) } };
}

const moduleName = /^[a-z][a-zA-Z0-9-]{0,62}$/;
const entryName = /^[a-z][a-zA-Z0-9]{0,62}$/;
/** Without control characters and halves of others, nor what turns the direction of writing around. */
const failureName = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u;
const failureCharsMax = 200;
const reserved = new Set(['then', 'constructor', 'open', 'close']);

const contractRemedy = 'Correct the names, schemas and options in defineModule that the message names.';

/**
 * Names a set of entries. `name` and entries: letters and digits, the first one a small letter, at most 63 (a module's
 * name may have dashes); failures: 1 to 200 characters that can be printed. Throws Config for any other name, and for
 * what is no entry, no schema, or no option within its bounds; `then`, `constructor`, `open` and `close` do not
 * compile.
 */
export function defineModule<M extends Record<string, SomeEntry>>(
  name: string,
  entries: M & NotReserved<M>,
): Contract<M> {
  const faults: string[] = [];
  if (!moduleName.test(name)) faults.push(`module name '${name}' does not match ${moduleName.source}`);
  const named: Record<string, SomeEntry> = {};
  for (const [key, value] of Object.entries<SomeEntry>(entries)) {
    if (!entryName.test(key) || reserved.has(key)) faults.push(`'${key}' cannot name an entry of ${name}`);
    faults.push(...faultsOfEntry(`${name}.${key}`, value));
    named[key] = Object.freeze({ ...value, name: `${name}.${key}` });
  }
  if (faults.length > 0) throw new BusError('Config', faults.join('; '), { faults }, undefined, contractRemedy);
  // The cast adds what Object.assign's type loses: the entries' own types.
  const contract = Object.freeze(Object.assign(named, { [CONTRACT]: name })) as unknown as Contract<M>;
  for (const one of Object.values(named)) contracts.set(one, contract);
  return contract;
}
const contracts = new WeakMap<object, AnyContract>();

/** Returns the contract of an entry; undefined for one that another copy of the package made. */
export function contractOf(entry: AnyEntry): AnyContract | undefined {
  return contracts.get(entry);
}

/** What the compiler would have said, where it was asked, and the values that it cannot see. */
function faultsOfEntry(name: string, given: unknown): string[] {
  // Only looked at: what is not there is a fault.
  const { kind, schemas, options } = (given ?? {}) as { readonly [K in 'kind' | 'schemas' | 'options']?: unknown };
  if (!isKind(kind) || !isObject(schemas) || !isObject(options)) {
    const circular = given === undefined ? '; do two files import each other?' : '';
    return [
      `${name} is ${given === undefined ? 'undefined' : 'no entry'}, not made by request, work, ${rest}${circular}`,
    ];
  }
  const { input, output, failures } = schemas;
  const all = { input, ...(kind === 'request' && { reply: output }), ...(isObject(failures) ? failures : {}) };
  const bad = Object.entries(all).filter(([, schema]) => !isSchema(schema));
  const misnamed = isObject(failures) ? Object.keys(failures).filter((failure) => !isFailureName(failure)) : [];
  return [
    ...misnamed.map((failure) => `${JSON.stringify(failure)} cannot name a failure of ${name}`),
    ...bad.map(([side]) => `${name}: ${side} has no schema, such as one of zod, valibot or arktype, or unchecked()`),
    ...faultsOf(name, kind, options),
  ];
}
const rest = 'broadcast or event';
const kinds: readonly unknown[] = ['request', 'work', 'broadcast', 'event'];
function isKind(kind: unknown): kind is AnyEntry['kind'] {
  return kinds.includes(kind);
}
function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
function isSchema(value: unknown): boolean {
  // Those of arktype are functions.
  const schema = typeof value === 'function' || isObject(value) ? (value as Record<string, unknown>)['~standard'] : {};
  return isObject(schema) && typeof schema['validate'] === 'function';
}

/** Whether it can travel beside a body. */
export function isFailureName(name: string): boolean {
  return name.length <= failureCharsMax && failureName.test(name);
}

/** The entries of a contract, by their short names. */
export function entriesOf(contract: AnyContract): ReadonlyMap<string, AnyEntry> {
  // defineModule is the only maker of contracts, and puts nothing but entries under string keys.
  return new Map(Object.entries(contract) as [string, AnyEntry][]);
}

export function moduleOf(entry: { readonly name: string }): string {
  return entry.name.slice(0, entry.name.indexOf('.'));
}

/** What `entry` was declared with; options of the other kinds are absent. */
export function optionsOf(entry: AnyEntry): EntryOptions {
  return entry.options;
}

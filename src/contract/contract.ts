/** Declares the interface of a module: entries of four kinds, and the contract that names them. */
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

/** Options of {@link request}. */
export interface RequestOptions<E> {
  /**
   * Schemas of the failures that a handler can return, by name. The caller receives them typed. A name that is a code
   * of the bus does not compile.
   */
  readonly failures?: E;
  /**
   * Timeout of a request in ms, unless the call sets another one.
   * @default 5_000
   */
  readonly timeoutMs?: number;
  /**
   * Declares that handling the request twice has the same effect as once. It can then be retried on another instance
   * when its instance dies.
   * @default false
   */
  readonly idempotent?: boolean;
}
/**
 * Declares a request: one live instance replies to it. `input` is the schema of the request, `output` that of the
 * reply. Each side checks with them: the caller before it sends and when the reply arrives, the responder before it
 * handles and before it replies. Requests are not stored and have no order.
 */
export function request<I extends Schema, O extends Schema, E extends Schemas = {}>(
  input: I,
  output: O,
  options: RequestOptions<E & NotABusCode<E>> = {},
  // Written in full, because the compiler would print a named type, with the schema types, in every .d.ts file.
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

/** Options of {@link work}. */
export interface WorkOptions<B> {
  /**
   * Returns the key of a message. Messages of one key are handled one at a time, in the order in which they were sent.
   * By default, each message has a key of its own.
   */
  readonly key?: (body: B) => string;
  /**
   * Maximum number of attempts before the message is parked. With the default `backoffMs`, the default attempts span
   * one to two minutes, such as the restart of a database.
   * @default 8
   */
  readonly attempts?: number;
  /**
   * The handling of other messages of the key while a failed one waits for its next attempt.
   * @default 'in-order'
   */
  readonly retry?: RetryKind;
  /**
   * Maximum delay before the second attempt, in ms. It doubles with each attempt, up to a minute. Each delay is a
   * random 50-100 % of it, so that messages that failed together are not retried together.
   * @default 1_000
   */
  readonly backoffMs?: number;
  /**
   * Time for which a handler can continue when its partition must be revoked, in ms.
   * @default 30_000
   */
  readonly handoverMs?: number;
  /**
   * The name of a separate topic for the entry, so that its messages and those of other entries do not delay each
   * other.
   */
  readonly queue?: string;
  /**
   * Time for which the log keeps a job after it was submitted, in ms, if it is settled by then. A job that is not
   * settled is kept without a limit. Entries of one topic are kept for the longest of their times, so set `queue` for
   * an entry that needs a shorter one.
   * @default the `keepMs` of the bus (7 days)
   */
  readonly keepMs?: number;
}
/**
 * Declares a kind of job. One instance handles each job. It is stored until it has been handled or parked, so it can
 * run more than once. Jobs of one sender and key keep their order.
 */
export function work<I extends Schema>(
  input: I,
  options: WorkOptions<Out<I>> = {},
): Work<Same<In<I>, Out<I>> extends true ? { input: In<I> } : { input: In<I>; body: Out<I> }> {
  return entry('work', { input }, options);
}

/** Declares a command to every live instance of the module, at most once each. It is not stored. */
export function broadcast<I extends Schema>(
  input: I,
): Broadcast<Same<In<I>, Out<I>> extends true ? { input: In<I> } : { input: In<I>; body: Out<I> }> {
  return entry('broadcast', { input }, {});
}

/** Options of {@link event}. */
export interface EventOptions<B> {
  /** Returns the key of an event. Events of one key keep their order. By default, events have no order. */
  readonly key?: (body: B) => string;
  /**
   * Time for which the log keeps an event at least, in ms. All events of a module are in one topic, which keeps them
   * for the longest of their times. A longer time than before applies from the next start on, on Kafka when an operator
   * has run the command that busbar reports. Events that a named listener has not received are kept longer on one
   * machine.
   * @default the `keepMs` of the bus (7 days)
   */
  readonly keepMs?: number;
}
/**
 * Declares an event that the module publishes. Named listeners handle each event once, in one of their instances; plain
 * listeners handle it in every instance that is running. Events of one sender and key keep their order.
 */
export function event<I extends Schema>(
  input: I,
  options: EventOptions<Out<I>> = {},
): Event<Same<In<I>, Out<I>> extends true ? { input: In<I> } : { input: In<I>; body: Out<I> }> {
  return entry('event', { input }, options);
}

// Returns `never`, because `~types` exists only for the compiler, and no value can have it.
function entry(kind: AnyEntry['kind'], schemas: object, options: object): never {
  return { kind, name: '', schemas, options: Object.freeze({ ...options }) } as never;
}

/** Returns a schema that accepts every value, for contracts migrated from code without schemas. */
export function unchecked<T>(): Schema<T> {
  // The cast is intended: the caller guarantees the type.
  return { '~standard': { version: 1, vendor: 'busbar', validate: (value) => ({ value: value as T }) } };
}

const moduleName = /^[a-z][a-zA-Z0-9-]{0,62}$/;
const entryName = /^[a-z][a-zA-Z0-9]{0,62}$/;
/**
 * Excludes control and format characters, line separators, and lone surrogates. They could garble a terminal or fail to
 * encode.
 */
const failureName = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+$/u;
const failureCharsMax = 200;
const reserved = new Set(['then', 'constructor', 'open', 'close']);

const contractRemedy = 'Correct the names, schemas and options in defineModule that the message names.';

/**
 * Creates a contract with the name of a module and its entries. Throws Config for invalid names, for values that are
 * not entries or schemas, and for options outside their limits.
 *
 * Names of modules and entries have at most 63 letters and digits, and begin with a lower-case letter. The name of a
 * module can contain dashes. Names of failures have 1 to 200 printable characters. Entries named `then`, `constructor`,
 * `open` or `close` do not compile.
 *
 * @example
 * import { defineModule, event, request, work } from 'busbar';
 * import { z } from 'zod';
 *
 * const Photo = z.object({ id: z.string(), bytes: z.number() });
 * export const photos = defineModule('photos', {
 *   add: request(Photo, Photo, { failures: { TooBig: z.object({ limitBytes: z.number() }) } }),
 *   resize: work(z.object({ photoId: z.string() }), { key: (job) => job.photoId }),
 *   added: event(Photo, { key: (photo) => photo.id }),
 * });
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
  // The cast restores the types of the entries, which the type of Object.assign loses.
  const contract = Object.freeze(Object.assign(named, { [CONTRACT]: name })) as unknown as Contract<M>;
  for (const one of Object.values(named)) contracts.set(one, contract);
  return contract;
}
const contracts = new WeakMap<object, AnyContract>();

/** Returns the contract of an entry; undefined for an entry that another copy of the package created. */
export function contractOf(entry: AnyEntry): AnyContract | undefined {
  return contracts.get(entry);
}

/** Returns the faults of an entry, both those that the compiler reports and those in values, which it cannot check. */
function faultsOfEntry(name: string, given: unknown): string[] {
  // The cast is safe: every property is optional and checked below.
  const { kind, schemas, options } = (given ?? {}) as { readonly [K in 'kind' | 'schemas' | 'options']?: unknown };
  if (!isKind(kind) || !isObject(schemas) || !isObject(options)) {
    const circular = given === undefined ? '. Do two files import each other?' : '';
    return [
      `${name} is ${given === undefined ? 'undefined' : 'not an entry'}. ` +
        `Create it with request, work, broadcast or event${circular}`,
    ];
  }
  const { input, output, failures } = schemas;
  const all = { input, ...(kind === 'request' && { reply: output }), ...(isObject(failures) ? failures : {}) };
  const bad = Object.entries(all).filter(([, schema]) => !isSchema(schema));
  const misnamed = isObject(failures) ? Object.keys(failures).filter((failure) => !isFailureName(failure)) : [];
  return [
    ...misnamed.map((failure) => `${JSON.stringify(failure)} cannot name a failure of ${name}`),
    ...bad.map(([side]) => `${name}: ${side} is not a schema. Pass one of zod, valibot or arktype, or unchecked()`),
    ...faultsOf(name, kind, options),
  ];
}
const kinds: readonly unknown[] = ['request', 'work', 'broadcast', 'event'];
function isKind(kind: unknown): kind is AnyEntry['kind'] {
  return kinds.includes(kind);
}
function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
function isSchema(value: unknown): boolean {
  // Schemas of arktype are functions.
  const schema = typeof value === 'function' || isObject(value) ? (value as Record<string, unknown>)['~standard'] : {};
  return isObject(schema) && typeof schema['validate'] === 'function';
}

/** Returns true for a name that the envelope of a reply can contain. */
export function isFailureName(name: string): boolean {
  return name.length <= failureCharsMax && failureName.test(name);
}

/** Returns the entries of a contract by their short names. */
export function entriesOf(contract: AnyContract): ReadonlyMap<string, AnyEntry> {
  // The cast is safe: only defineModule creates contracts, and their string keys have only entries.
  return new Map(Object.entries(contract) as [string, AnyEntry][]);
}

export function moduleOf(entry: { readonly name: string }): string {
  return entry.name.slice(0, entry.name.indexOf('.'));
}

/** Returns the options with which `entry` was declared. Options of other kinds are absent. */
export function optionsOf(entry: AnyEntry): EntryOptions {
  return entry.options;
}

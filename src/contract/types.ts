/**
 * The compile-time types of contracts. They are plain types, so that the .d.ts files and editor hovers of a contract
 * show no schema library.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { BusCode, Failure } from '../base/errors';

/**
 * A schema of zod, valibot, arktype, or another library that implements Standard Schema (https://standardschema.dev).
 */
export type Schema<I = unknown, O = I> = StandardSchemaV1<I, O>;
export type In<S extends Schema> = StandardSchemaV1.InferInput<S>;
export type Out<S extends Schema> = StandardSchemaV1.InferOutput<S>;

/** Resolves to true when two types are identical. `any` and wider types are not. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/**
 * The types of an entry: `input` is the sender's type, `body` the handler's. `body` is left out unless the schema
 * transforms the type, so that hovers show the type once.
 */
export interface Types {
  input: unknown;
  body?: unknown;
}
/**
 * The types of a request: `reply` is the handler's type, `output` the caller's when it differs. `failures` has the
 * declared failures, as the handler passes them and as the caller receives them.
 */
export interface RequestTypes extends Types {
  reply: unknown;
  output?: unknown;
  failures: Record<string, { given: unknown; data: unknown }>;
}

export interface EntryOptions {
  readonly timeoutMs?: number;
  readonly idempotent?: boolean;
  readonly key?: (body: never) => string;
  readonly attempts?: number;
  readonly retry?: RetryKind;
  readonly backoffMs?: number;
  readonly handoverMs?: number;
  readonly queue?: string;
  readonly keepMs?: number;
}
/**
 * The handling of a key's messages while a failed one waits. With `in-order` they wait until it is settled; with
 * `aside` they continue, and it is retried later.
 */
export type RetryKind = 'in-order' | 'aside';

interface Entry<K extends string, T> {
  readonly kind: K;
  /** The full name, `module.entry`. */
  readonly name: string;
  readonly schemas: EntrySchemas;
  readonly options: EntryOptions;
  /** Carries the types for the compiler. The property never exists at run time. */
  readonly '~types': T;
}
export interface EntrySchemas {
  readonly input: Schema;
  readonly output?: Schema;
  readonly failures?: Readonly<Record<string, Schema>>;
}

/** A request of a contract, made by `request(…)`: one live instance replies. */
export interface Request<T extends RequestTypes = RequestTypes> extends Entry<'request', T> {}
/** A kind of job of a contract, made by `work(…)`: one instance handles each job. */
export interface Work<T extends Types = Types> extends Entry<'work', T> {}
/** A command of a contract, made by `broadcast(…)`: every live instance handles it. */
export interface Broadcast<T extends Types = Types> extends Entry<'broadcast', T> {}
/** An event of a contract, made by `event(…)`: each listener handles it. */
export interface Event<T extends Types = Types> extends Entry<'event', T> {}
/** An entry of any kind. */
export type AnyEntry = Request | Work | Broadcast | Event;

/** The type that a sender of the entry passes. */
export type Input<M extends AnyEntry> = M['~types']['input'];
/** The type that a handler of the entry receives. */
export type Body<M extends AnyEntry> = M extends { '~types': { body: infer B } } ? B : M['~types']['input'];
/** The type that a handler of the request returns. */
export type Reply<M extends Request> = M['~types']['reply'];
/** The type that the caller of the request receives. */
export type Output<M extends Request> = M extends { '~types': { output: infer O } } ? O : M['~types']['reply'];
/** The declared failures as a union that `switch (error.code)` narrows. */
export type FailureOf<M extends Request> = {
  [K in keyof M['~types']['failures'] & string]: Failure<K, M['~types']['failures'][K]['data']>;
}[keyof M['~types']['failures'] & string];

export type Schemas = Record<string, Schema>;
/** Turns a failure with the name of a bus code into a compile error that explains the conflict. */
export type NotABusCode<E> = {
  [K in keyof E]: K extends BusCode ? `'${K}' is a code of the bus itself; name the failure otherwise` : unknown;
};

export const CONTRACT: unique symbol = Symbol.for('busbar.contract') as never; // `for`: equal in all copies
/** The contract of a module, made by `defineModule`. Its properties are the entries, by their short names. */
export type Contract<M = Record<string, AnyEntry>> = Readonly<M> & AnyContract;
/** A contract with any entries. */
export type AnyContract = { readonly [CONTRACT]: string };

type Reserved = 'then' | 'constructor' | 'open' | 'close';
export type NotReserved<M> = { [K in keyof M]: K extends Reserved ? `'${K}' cannot name an entry` : unknown };
/**
 * The constraint on entries in `defineModule`. It has fewer fields than AnyEntry, because a full one would become the
 * contextual type of each `request(…)` and widen `failures`.
 */
export interface SomeEntry {
  readonly kind: AnyEntry['kind'];
  readonly name: string;
}

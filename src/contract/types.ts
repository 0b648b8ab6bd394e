/**
 * What the compiler knows of contracts: plain types only, so that a contract's .d.ts and its hovers show no schema
 * library.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { BusCode, Failure } from '../base/errors';

/** Any zod, valibot or arktype schema, or another one of the Standard Schema kind (https://standardschema.dev). */
export type Schema<I = unknown, O = I> = StandardSchemaV1<I, O>;
export type In<S extends Schema> = StandardSchemaV1.InferInput<S>;
export type Out<S extends Schema> = StandardSchemaV1.InferOutput<S>;

/** Whether two types are the same: `any` and wider types are not. */
export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/**
 * input: what a sender passes · body: what a handler gets, where the transforms of the schema make it another type.
 * Where they do not, `body` is left out, so that hovers show the type once.
 */
export interface Types {
  input: unknown;
  body?: unknown;
}
/**
 * reply: what a handler returns · output: what the caller gets, where that is another type · failures: declared ones,
 * as given and as received.
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
  readonly longestMs?: number;
  readonly queue?: string;
}
/** in-order: the messages of the key wait until it is settled · aside: they go on, it comes back later. */
export type RetryKind = 'in-order' | 'aside';

interface Entry<K extends string, T> {
  readonly kind: K;
  /** `module.entry` */
  readonly name: string;
  readonly schemas: EntrySchemas;
  readonly options: EntryOptions;
  /** Types only; never there at run time. */
  readonly '~types': T;
}
export interface EntrySchemas {
  readonly input: Schema;
  readonly output?: Schema;
  readonly failures?: Readonly<Record<string, Schema>>;
}

export interface Request<T extends RequestTypes = RequestTypes> extends Entry<'request', T> {}
export interface Work<T extends Types = Types> extends Entry<'work', T> {}
export interface Broadcast<T extends Types = Types> extends Entry<'broadcast', T> {}
export interface Event<T extends Types = Types> extends Entry<'event', T> {}
export type AnyEntry = Request | Work | Broadcast | Event;

/** What a sender of the entry passes. */
export type Input<M extends AnyEntry> = M['~types']['input'];
/** What a handler of the entry gets. */
export type Body<M extends AnyEntry> = M extends { '~types': { body: infer B } } ? B : M['~types']['input'];
/** What a handler of the request returns. */
export type Reply<M extends Request> = M['~types']['reply'];
/** What the caller of the request gets. */
export type Output<M extends Request> = M extends { '~types': { output: infer O } } ? O : M['~types']['reply'];
/** The declared failures as a union that `switch (error.code)` narrows. */
export type FailureOf<M extends Request> = {
  [K in keyof M['~types']['failures'] & string]: Failure<K, M['~types']['failures'][K]['data']>;
}[keyof M['~types']['failures'] & string];

export type Schemas = Record<string, Schema>;
/** Turns a failure that is named as a code of the bus into a compile error that says so. */
export type NotABusCode<E> = {
  [K in keyof E]: K extends BusCode ? `'${K}' is a code of the bus itself; name the failure otherwise` : unknown;
};

export const CONTRACT: unique symbol = Symbol.for('busbar.contract') as never; // `for`: two copies of the package agree
export type Contract<M = Record<string, AnyEntry>> = Readonly<M> & AnyContract;
export type AnyContract = { readonly [CONTRACT]: string };

type Reserved = 'then' | 'constructor' | 'open' | 'close';
export type NotReserved<M> = { [K in keyof M]: K extends Reserved ? `'${K}' cannot name an entry` : unknown };
/**
 * Deliberately less than AnyEntry: a full constraint would be the contextual type of each `request(…)` and widen
 * `failures`.
 */
export interface SomeEntry {
  readonly kind: AnyEntry['kind'];
  readonly name: string;
}

/** Types of the functions that a module gives to the bus: one for each entry that it handles, typed by the entry. */
import type { AnyContract, AnyEntry, Body, Broadcast, Reply, Request, Work } from '../contract/types';
import type { Context, RequestContext, WorkContext } from './context';

/** A value, or a promise of it. */
export type Awaitable<T> = T | Promise<T>;

/**
 * The function that handles an entry: the body and a context in, the reply or nothing out. It can be asynchronous. An
 * error that it throws fails the attempt.
 */
// Function types, not methods: a handler that accepts less than the contract allows must not compile.
export type Handler<M extends AnyEntry> = M extends Request
  ? (body: Body<M>, context: RequestContext<M>) => Awaitable<Reply<M>>
  : M extends Work
    ? (body: Body<M>, context: WorkContext) => Awaitable<void>
    : M extends Broadcast
      ? (body: Body<M>, context: Context) => Awaitable<void>
      : never;

/** Names of the entries that a module handles: all except its events, which it only publishes. */
export type Handled<C> = { [K in keyof C]: C[K] extends Request | Work | Broadcast ? K : never }[keyof C];
/**
 * Handlers of all entries that a module must handle. They are called as methods of the given object, so a class
 * instance works.
 */
export type Handlers<C extends AnyContract> = {
  [K in Handled<C> & string]: C[K] extends AnyEntry ? Handler<C[K]> : never;
};

/** Types a single handler by its entry: `export const add = handler(photos.add, async (photo, { fail }) => …)`. */
export const handler = <M extends AnyEntry, H extends Handler<M>>(_entry: M, run: H & Handler<M>): H => run;

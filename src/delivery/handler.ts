/** What a module gives the bus: one function for each entry it handles, typed by the entry. */
import type { AnyContract, AnyEntry, Body, Broadcast, Reply, Request, Work } from '../contract/types';
import type { Context, RequestContext, WorkContext } from './context';

export type Awaitable<T> = T | Promise<T>;

// Function types, not methods: a handler that takes less than the contract allows must not compile.
export type Handler<M extends AnyEntry> = M extends Request
  ? (body: Body<M>, context: RequestContext<M>) => Awaitable<Reply<M>>
  : M extends Work
    ? (body: Body<M>, context: WorkContext) => Awaitable<void>
    : M extends Broadcast
      ? (body: Body<M>, context: Context) => Awaitable<void>
      : never;

/** The names of the entries that a module handles: all but its events, which it only tells. */
export type Handled<C> = { [K in keyof C]: C[K] extends Request | Work | Broadcast ? K : never }[keyof C];
/** Everything a module has to handle. Called as methods of the object given, so a class instance will do. */
export type Handlers<C extends AnyContract> = {
  [K in Handled<C> & string]: C[K] extends AnyEntry ? Handler<C[K]> : never;
};

/**
 * Gives one handler alone the types of its entry: `export const add = handler(photos.add, async (photo, { fail }) =>
 * …)`.
 */
export const handler = <M extends AnyEntry, H extends Handler<M>>(_entry: M, run: H & Handler<M>): H => run;

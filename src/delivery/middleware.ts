/**
 * Types of the functions that surround every handler call. Each sees the delivery, and must return the result of
 * `next`.
 */
import type { AnyEntry } from '../contract/types';
import type { Context } from './context';

declare const SETTLED: unique symbol;
/** Result of the handler. Only `next` returns one, so a middleware that forgets to return it does not compile. */
export interface Settlement {
  readonly [SETTLED]: true;
}
/** A message that is about to be handled, as {@link Middleware} receives it. */
export interface Delivery {
  readonly entry: AnyEntry;
  /** Body after the schema's check. */
  readonly body: unknown;
  readonly context: Context;
}
/** A function around every handler call. When it throws, the delivery fails as if the handler had thrown. */
export type Middleware = (delivery: Delivery, next: () => Promise<Settlement>) => Promise<Settlement>;

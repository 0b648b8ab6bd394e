/** Functions around every handler call: they see the delivery, and must give back what `next` gave. */
import type { AnyEntry } from '../contract/types';
import type { Context } from './context';

declare const SETTLED: unique symbol;
/** How the handler ended. Only `next` gives one, so a middleware that forgets to return it does not compile. */
export interface Settlement {
  readonly [SETTLED]: true;
}
export interface Delivery {
  readonly entry: AnyEntry;
  /** After the schema's check. */
  readonly body: unknown;
  readonly context: Context;
}
/** Throwing fails the delivery as if the handler had thrown. */
export type Middleware = (delivery: Delivery, next: () => Promise<Settlement>) => Promise<Settlement>;

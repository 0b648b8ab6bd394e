/** Parses the options that select messages, which all verbs share. */
import type { MessageFilter } from '../../inspect';
import { countOf, since } from '../args';

export interface Filters {
  readonly number?: string;
  readonly key?: string;
  readonly entry?: string;
  readonly from?: string;
  readonly since?: string;
}

export function filterOf(options: Filters, nowMs: number): MessageFilter & { readonly most?: number } {
  const { number, key, entry, from, since: after } = options;
  return {
    ...(number !== undefined && { most: countOf('-n', number) }),
    ...(key !== undefined && { key }),
    ...(entry !== undefined && { entry }),
    ...(from !== undefined && { from }),
    ...(after !== undefined && { sinceMs: since(after, nowMs) }),
  };
}

/** Parses the options that select messages, which all verbs share. */
import type { MessageFilter } from '../../inspect';
import { countOf, since } from '../args';

export interface Filters {
  readonly number?: string;
  readonly key?: string;
  readonly entry?: string;
  readonly from?: string;
  readonly since?: string;
  readonly until?: string;
  /** JavaScript expression on the decoded message. Only verbs that show messages have it. */
  readonly where?: string;
}

export function filterOf(options: Filters, nowMs: number): MessageFilter & { readonly most?: number } {
  const { number, key, entry, from, since: after, until } = options;
  return {
    ...(number !== undefined && { most: countOf('-n', number) }),
    ...(key !== undefined && { key }),
    ...(entry !== undefined && { entry }),
    ...(from !== undefined && { from }),
    ...(after !== undefined && { sinceMs: since(after, nowMs) }),
    ...(until !== undefined && { untilMs: since(until, nowMs, '--until') }),
  };
}

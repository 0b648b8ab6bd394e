/** The modules of the simulated system: what they take in and what they say. */
import { broadcast, defineModule, event, request, work } from '../../src/contract/contract';
import type { Schema } from '../../src/contract/types';
import { decodeBody } from '../../src/format/codec';
import type { Plan } from './plan';

/** What every message and every reply carries: its number, and bytes that follow from it. */
export interface Body {
  readonly n: number;
  readonly key: string;
  readonly pad: string;
}

/** Ends differently for each number, so that bytes that were mixed up do not fit. */
export function padOf(n: number): string {
  return (Math.imul(n + 1, 0x9e3779b1) >>> 0).toString(36).repeat(1 + (n % 5));
}
export const bodyOf = (n: number, key: string): Body => ({ n, key, pad: padOf(n) });

export function isBody(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && 'n' in value && 'key' in value && 'pad' in value;
}
const check = (value: unknown) =>
  isBody(value) ? { value } : { issues: [{ message: 'it is none of our bodies', path: ['n'] }] };
const body: Schema<Body> = { '~standard': { version: 1, vendor: 'simulation', validate: check } };
/** The same, answering later: what is sent behind it must not overtake. */
const slowBody: Schema<Body> = {
  '~standard': { version: 1, vendor: 'simulation', validate: async (value) => check(value) },
};

const key = ({ key: named }: Body): string => named;

export type Contracts = ReturnType<typeof contractsOf>;

export function contractsOf({ attempts, backoffMs, longestMs, timeoutMs }: Plan) {
  const tries = { attempts, backoffMs, longestMs };
  const jobs = defineModule('jobs', {
    ordered: work(body, { key, retry: 'in-order', ...tries }),
    checked: work(slowBody, { key, retry: 'in-order', ...tries }),
    aside: work(body, { key, retry: 'aside', ...tries }),
    loose: work(body, tries),
    ask: request(body, body, { failures: { Refused: body }, timeoutMs }),
    twice: request(body, body, { failures: { Refused: body }, timeoutMs, idempotent: true }),
    shout: broadcast(body),
  });
  const facts = defineModule('facts', { fact: event(body, { key }), news: event(body) });
  return { jobs, facts };
}

/** The number of the message a record holds; undefined for what is none of ours. */
export function numberOf(value: Uint8Array | null): number | undefined {
  const decoded = decodeBody(value ?? new Uint8Array(0));
  return decoded.ok && isBody(decoded.value) ? decoded.value.n : undefined;
}

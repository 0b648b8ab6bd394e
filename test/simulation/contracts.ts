/** The contracts of the simulated modules. */
import { broadcast, defineModule, event, request, work } from '../../src/contract/contract';
import type { Schema } from '../../src/contract/types';
import { decodeBody } from '../../src/format/codec';
import type { Plan } from './plan';

/** The body of every message and reply: its number, and bytes that follow from it. */
export interface Body {
  readonly n: number;
  readonly key: string;
  readonly pad: string;
}

/** Returns different bytes for each number, so that mixed-up bytes are detected. */
export function padOf(n: number): string {
  return (Math.imul(n + 1, 0x9e3779b1) >>> 0).toString(36).repeat(1 + (n % 5));
}
export const bodyOf = (n: number, key: string): Body => ({ n, key, pad: padOf(n) });

export function isBody(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && 'n' in value && 'key' in value && 'pad' in value;
}
const check = (value: unknown) =>
  isBody(value) ? { value } : { issues: [{ message: 'it is not a body of the simulation', path: ['n'] }] };
const body: Schema<Body> = { '~standard': { version: 1, vendor: 'simulation', validate: check } };
/** The same with an asynchronous check: messages sent later must not overtake. */
const slowBody: Schema<Body> = {
  '~standard': { version: 1, vendor: 'simulation', validate: async (value) => check(value) },
};

const key = ({ key: named }: Body): string => named;

export type Contracts = ReturnType<typeof contractsOf>;

export function contractsOf({ attempts, backoffMs, handoverMs, timeoutMs }: Plan) {
  const tries = { attempts, backoffMs, handoverMs };
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

/** Returns the number of the message that a record holds; undefined for foreign records. */
export function numberOf(value: Uint8Array | null): number | undefined {
  const decoded = decodeBody(value ?? new Uint8Array(0));
  return decoded.ok && isBody(decoded.value) ? decoded.value.n : undefined;
}

/**
 * The errors that a caller receives when another instance's schema rejects a body, while its own contract has no
 * schema.
 */
import { isBusError } from '../../src/base/errors';
import { selfContract } from '../../src/bus/self-contract';
import { defineModule, request, unchecked, work } from '../../src/contract/contract';
import type { Schema } from '../../src/contract/types';
import { testBus } from '../../src/testing';

export interface Verdicts {
  readonly input: unknown;
  readonly reply: unknown;
  readonly check: unknown;
}

/** Sends bodies that break `schema`, which accepts `{ photo: { width: number }, sides: string[] }`. */
export async function overWire(schema: Schema): Promise<Verdicts> {
  const bad = { photo: { width: 'x' }, sides: ['a', 1] };
  const Any = unchecked<unknown>();
  const strict = defineModule('m', { take: request(schema, Any), give: request(Any, schema), job: work(schema) });
  const loose = defineModule('m', { take: request(Any, Any), give: request(Any, Any), job: work(Any) });
  const bus = testBus(strict);
  // The casts hide values that are wrong on purpose.
  await bus.serve(strict, { take: () => 1, give: () => bad as never, job: () => undefined });
  const web = bus.as('web');
  const [input, reply, check] = await Promise.allSettled([
    web.request(loose.take, bad),
    web.request(loose.give, 1),
    web.request(selfContract.check, { entry: 'm.job', body: bad }, { to: bus.self.instance }),
  ]);
  await bus.close();
  return {
    input: detailsOf(input),
    reply: detailsOf(reply),
    check: check.status === 'fulfilled' ? check.value : String(check.reason),
  };
}

function detailsOf(ended: PromiseSettledResult<unknown>): unknown {
  if (ended.status === 'fulfilled') return 'it was taken';
  const error: unknown = ended.reason;
  return isBusError(error, 'Invalid') ? { message: error.message, issues: error.details.issues } : String(error);
}

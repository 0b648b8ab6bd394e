import { z } from 'zod';
import { isBusError } from '../../src/base/errors';
import { accept } from '../../src/base/options';
import { entryOptions } from '../../src/options';
import { broadcast, defineModule, event, request, work } from '../../src/contract/contract';
import { bounds, faultOf } from '../../src/contract/options';
import type { SomeEntry } from '../../src/contract/types';
import { testBus } from '../../src/testing';

const Job = z.object({ n: z.number() });

/** Calls as untyped JavaScript can make them. */
const loosely = { work, request, event, broadcast } as unknown as Record<string, (...given: unknown[]) => SomeEntry>;
const make = (kind: string, ...given: unknown[]): SomeEntry => loosely[kind]!(...given);
const define = (entries: Record<string, unknown>) => defineModule('o', entries as Record<string, SomeEntry>);

function faultsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (isBusError(error, 'Config')) return error.details.faults;
    throw error;
  }
  return [];
}

test.each([
  [{ attempts: 0 }, 'o.w: attempts is 0; it must be a whole number from 1 to 1000'],
  [{ attempts: -1 }, 'o.w: attempts is -1; it must be a whole number from 1 to 1000'],
  [{ attempts: 1.5 }, 'o.w: attempts is 1.5; it must be a whole number from 1 to 1000'],
  [{ attempts: Infinity }, 'o.w: attempts is Infinity; it must be a whole number from 1 to 1000'],
  [{ backoffMs: NaN }, 'o.w: backoffMs is NaN; it must be a whole number of ms from 0 to 86400000'],
  [{ backoffMs: -5 }, 'o.w: backoffMs is -5; it must be a whole number of ms from 0 to 86400000'],
  [{ backoffMs: '1s' }, "o.w: backoffMs is '1s'; it must be a whole number of ms from 0 to 86400000"],
  [{ handoverMs: NaN }, 'o.w: handoverMs is NaN; it must be a whole number of ms from 0 to 86400000'],
  [{ retry: 'sideways' }, "o.w: retry is 'sideways'; it must be 'in-order' or 'aside'"],
  [{ queue: 'Bad Name' }, "o.w: queue is 'Bad Name'; it must be a string that matches ^[a-z][a-zA-Z0-9-]{0,62}$"],
  [{ key: 'n' }, "o.w: key is 'n'; it must be a function that returns a string"],
  [{ atempts: 1 }, "o.w: 'atempts' is not an option of work; did you mean attempts?"],
  [{ timeoutMs: 1 }, /^o\.w: 'timeoutMs' is not an option of work; the options are key, attempts, /],
])('rejects work with %j, naming entry, option, value and bounds', (options, fault) => {
  const faults = faultsOf(() => define({ w: make('work', Job, options) }));
  expect(faults).toHaveLength(1);
  expect(faults[0]).toMatch(fault);
});

test.each([
  ['request', { timeoutMs: NaN }, 'o.x: timeoutMs is NaN; it must be a whole number of ms from 1 to 86400000'],
  ['request', { timeoutMs: -1 }, 'o.x: timeoutMs is -1; it must be a whole number of ms from 1 to 86400000'],
  ['request', { idempotent: 'yes' }, "o.x: idempotent is 'yes'; it must be true or false"],
  ['event', { attempts: 3 }, "o.x: 'attempts' is not an option of event; the options are key, keepMs"],
])('rejects a %s with %j', (kind, options, fault) => {
  const schemas = kind === 'request' ? [Job, Job] : [Job];
  expect(faultsOf(() => define({ x: make(kind, ...schemas, options) }))).toEqual([fault]);
});

test('an undefined option counts as absent, and valid options are accepted', () => {
  const options = {
    attempts: 1_000,
    backoffMs: 0,
    handoverMs: undefined,
    queue: 'slow',
    key: () => 'k',
    retry: 'aside',
  };
  expect(faultsOf(() => define({ w: make('work', Job, options) }))).toEqual([]);
});

test('rejects an entry without a schema and a value that is not an entry', () => {
  const entries = {
    w: make('work', {}),
    r: make('request', Job),
    f: make('request', Job, Job, { failures: { Full: { limit: 1 } } }),
    x: { foo: 1 },
    circular: undefined,
  };
  expect(faultsOf(() => define(entries))).toEqual([
    'o.w: input is not a schema. Pass one of zod, valibot or arktype, or unchecked()',
    'o.r: reply is not a schema. Pass one of zod, valibot or arktype, or unchecked()',
    'o.f: Full is not a schema. Pass one of zod, valibot or arktype, or unchecked()',
    'o.x is not an entry. Create it with request, work, broadcast or event',
    'o.circular is undefined. Create it with request, work, broadcast or event. Do two files import each other?',
  ]);
});

test.each(['timeoutMs', 'attempts', 'backoffMs', 'concurrency'] as const)(
  'code and settings accept the same values of %s',
  (name) => {
    const { min, max } = bounds[name];
    for (const value of [min - 1, min, max, max + 1]) {
      expect(faultOf('o.w', name, value).length === 0).toBe('value' in accept(entryOptions[name], value));
    }
  },
);

describe('a named listener', () => {
  const told = defineModule('told', { e: event(Job) });

  test.each([
    [{ as: 'y', attempts: 0 }, 'listen(told.e): attempts is 0; it must be a whole number from 1 to 1000'],
    [
      { as: 'y', backoffMs: NaN },
      'listen(told.e): backoffMs is NaN; it must be a whole number of ms from 0 to 86400000',
    ],
    [{ as: 'y', concurrency: 0 }, 'listen(told.e): concurrency is 0; it must be a whole number from 1 to 10000'],
    [{ as: 'y', perSecond: 0 }, 'listen(told.e): perSecond is 0; it must be a number above 0'],
    [{ as: 'X Y' }, "listen(told.e): as is 'X Y'; it must be a string that matches ^[a-z][a-zA-Z0-9-]{0,62}$"],
    [{}, 'listen(told.e): as is null; it must be a string that matches ^[a-z][a-zA-Z0-9-]{0,62}$'],
    [{ as: 'y', atempts: 2 }, "listen(told.e): 'atempts' is not an option of listener; did you mean attempts?"],
  ])('is rejected with the options %j', async (options, fault) => {
    const bus = testBus(told);
    const listening = bus.listen(told.e, options as { as: string }, () => undefined);
    await expect(listening).rejects.toMatchObject({ code: 'Config', details: { faults: [fault] } });
    await bus.close();
  });
});

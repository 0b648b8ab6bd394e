import * as v from 'valibot';
import { z } from 'zod';
import { broadcast, defineModule, request, work } from '../../src/contract/contract';
import { describe as describeEntry, fingerprint } from '../../src/contract/fingerprint';
import type { AnyContract, SomeEntry } from '../../src/contract/types';

/** Creates the same contract with some entries replaced. */
function photos(parts: Record<string, SomeEntry> = {}): AnyContract {
  return defineModule('photos', {
    add: request(z.object({ album: z.string() }), z.number(), {
      failures: { TooBig: z.object({ limit: z.number() }) },
    }),
    resize: work(z.object({ id: z.string() })),
    ...parts,
  });
}

test('a fingerprint has eight hex digits, equal for equal contracts', () => {
  expect(fingerprint(photos())).toMatch(/^[0-9a-f]{8}$/);
  expect(fingerprint(photos())).toBe(fingerprint(photos()));
});

test('the order of entries does not change the fingerprint', () => {
  const [a, b] = [work(z.string()), broadcast(z.number())];
  expect(fingerprint(defineModule('m', { a, b }))).toBe(fingerprint(defineModule('m', { b, a })));
});

test('retry and key options do not change the fingerprint', () => {
  const resize = work(z.object({ id: z.string() }), { attempts: 9, key: ({ id }) => id });
  expect(fingerprint(photos({ resize }))).toBe(fingerprint(photos()));
});

const changes: readonly [string, Record<string, SomeEntry>][] = [
  ['an additional entry', { rotate: work(z.string()) }],
  ['a changed kind', { resize: broadcast(z.object({ id: z.string() })) }],
  ['a changed field type', { resize: work(z.object({ id: z.number() })) }],
  ['a new field', { resize: work(z.object({ id: z.string(), width: z.number() })) }],
  ['an optional field', { resize: work(z.object({ id: z.string().optional() })) }],
  ['a changed reply', { add: request(z.object({ album: z.string() }), z.string()) }],
  ['a removed failure', { add: request(z.object({ album: z.string() }), z.number()) }],
];
test.each(changes)('a contract with %s has another fingerprint', (_what, parts) => {
  expect(fingerprint(photos(parts))).not.toBe(fingerprint(photos()));
});

test('the name of a failure and its data change the fingerprint', () => {
  const of = (failures: Record<string, z.ZodType>) =>
    fingerprint(defineModule('m', { e: request(z.string(), z.string(), { failures }) }));
  const prints = [
    of({ A: z.string() }),
    of({ B: z.string() }),
    of({ A: z.number() }),
    of({ A: z.string(), B: z.string() }),
  ];
  expect(new Set(prints).size).toBe(4);
});

test('a schema without a JSON Schema counts as any schema', () => {
  const of = (schema: Parameters<typeof work>[0]) => describeEntry(defineModule('m', { e: work(schema) }).e);
  expect(of(v.object({ a: v.string() }))).toBe('work ?'); // valibot needs a separate adapter to describe schemas
  expect(of(z.date())).toBe('work ?'); // JSON Schema has no dates
});

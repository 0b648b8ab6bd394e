import * as v from 'valibot';
import { z } from 'zod';
import { broadcast, defineModule, request, work } from '../../src/contract/contract';
import { describe as describeEntry, fingerprint } from '../../src/contract/fingerprint';
import type { AnyContract, SomeEntry } from '../../src/contract/types';

/** The same contract, made anew each time, with parts of it replaced. */
function photos(parts: Record<string, SomeEntry> = {}): AnyContract {
  return defineModule('photos', {
    add: request(z.object({ album: z.string() }), z.number(), {
      failures: { TooBig: z.object({ limit: z.number() }) },
    }),
    resize: work(z.object({ id: z.string() })),
    ...parts,
  });
}

test('is eight hex digits, equal for contracts that say the same', () => {
  expect(fingerprint(photos())).toMatch(/^[0-9a-f]{8}$/);
  expect(fingerprint(photos())).toBe(fingerprint(photos()));
});

test('the order of entries does not count', () => {
  const [a, b] = [work(z.string()), broadcast(z.number())];
  expect(fingerprint(defineModule('m', { a, b }))).toBe(fingerprint(defineModule('m', { b, a })));
});

test('how long one waits and how often one tries does not count: both sides understand each other', () => {
  const resize = work(z.object({ id: z.string() }), { attempts: 9, key: ({ id }) => id });
  expect(fingerprint(photos({ resize }))).toBe(fingerprint(photos()));
});

const changes: readonly [string, Record<string, SomeEntry>][] = [
  ['another entry', { rotate: work(z.string()) }],
  ['another kind', { resize: broadcast(z.object({ id: z.string() })) }],
  ['the type of a field', { resize: work(z.object({ id: z.number() })) }],
  ['a new field', { resize: work(z.object({ id: z.string(), width: z.number() })) }],
  ['a field that may be absent', { resize: work(z.object({ id: z.string().optional() })) }],
  ['the reply', { add: request(z.object({ album: z.string() }), z.string()) }],
  ['no failure', { add: request(z.object({ album: z.string() }), z.number()) }],
];
test.each(changes)('%s changes it', (_what, parts) => {
  expect(fingerprint(photos(parts))).not.toBe(fingerprint(photos()));
});

test('the name of a failure and its data change it', () => {
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

test('a schema that nobody can describe counts as some schema', () => {
  const of = (schema: Parameters<typeof work>[0]) => describeEntry(defineModule('m', { e: work(schema) }).e);
  expect(of(v.object({ a: v.string() }))).toBe('work ?'); // valibot describes by an adapter of its own
  expect(of(z.date())).toBe('work ?'); // JSON Schema has no dates
});

import * as v from 'valibot';
import { z } from 'zod';
import { isBusError } from '../../src/base/errors';
import { check, sayIssue } from '../../src/contract/check';
import { unchecked } from '../../src/contract/contract';
import type { Schema } from '../../src/contract/types';

function invalid(run: () => unknown) {
  try {
    run();
  } catch (error) {
    if (isBusError(error, 'Invalid')) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

// arktype, which jest cannot load, has its turn in libraries.full.test.ts.
const libraries: readonly [string, Schema][] = [
  ['zod', z.object({ photo: z.object({ width: z.number() }), sides: z.array(z.string()) })],
  ['valibot', v.object({ photo: v.object({ width: v.number() }), sides: v.array(v.string()) })],
];
test.each(libraries)('%s: a good value comes back, at once and not as a promise', (_name, schema) => {
  const value = { photo: { width: 3 }, sides: ['a'] };
  expect(check(schema, value, 'input', 'm.e')).toEqual(value);
});
test.each(libraries)('%s: a bad value is Invalid, and names side, entry and each field', (_name, schema) => {
  const { message, details } = invalid(() => check(schema, { photo: { width: 'x' }, sides: ['a', 1] }, 'reply', 'm.e'));
  expect(message).toMatch(/^reply of m\.e: /);
  expect(message).toContain('photo.width: ');
  expect(message).toContain('sides.1: ');
  expect(details.side).toBe('reply');
  expect(details.issues.map(({ path }) => path)).toEqual([
    ['photo', 'width'],
    ['sides', 1],
  ]);
});

test('what the schema makes of the value is what comes back', () => {
  expect(check(z.coerce.date(), '2026-12-24', 'input', 'm.e')).toEqual(new Date('2026-12-24'));
  expect(check(z.object({ a: z.string().default('b') }), {}, 'input', 'm.e')).toEqual({ a: 'b' });
});

const even = z.number().refine(async (n) => n % 2 === 0, 'not even');
test('a schema that waits gives a promise of the value', async () => {
  const checked = check(even, 4, 'input', 'm.e');
  expect(checked).toBeInstanceOf(Promise);
  expect(await checked).toBe(4);
});
test('a schema that waits rejects with Invalid as others throw it', async () => {
  await expect(check(even, 5, 'input', 'm.e')).rejects.toMatchObject({
    code: 'Invalid',
    message: 'input of m.e: not even',
  });
});

test('of a thousand faults ten are told', () => {
  const { details } = invalid(() => check(z.array(z.string()), Array(1_000).fill(1), 'input', 'm.e'));
  expect(details.issues).toHaveLength(10);
});

test('what a schema itself throws comes out as it is', () => {
  const schema: Schema = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate() {
        throw new RangeError('broken schema');
      },
    },
  };
  expect(() => check(schema, 1, 'input', 'm.e')).toThrow(new RangeError('broken schema'));
});

test('unchecked is a schema like others', () => {
  expect(check(unchecked(), undefined, 'input', 'm.e')).toBeUndefined();
});

test('an issue is said with its path, or alone', () => {
  expect(sayIssue({ message: 'is red', path: ['a', 0, Symbol('s')] })).toBe('a.0.Symbol(s): is red');
  expect(sayIssue({ message: 'is red', path: [] })).toBe('is red');
  expect(sayIssue({ message: 'is red' })).toBe('is red');
});

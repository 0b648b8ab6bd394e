import vm from 'node:vm';
import * as v from 'valibot';
import { z } from 'zod';
import { isBusError } from '../../src/base/errors';
import { check, sayIssue } from '../../src/contract/check';
import { overWire } from './over-wire';
import { unchecked } from '../../src/contract/contract';
import type { Schema } from '../../src/contract/types';
import { encodeBody } from '../../src/format/codec';

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

test.each(libraries)('%s: the fields that another instance refuses arrive over the wire', async (_name, schema) => {
  const issues = [
    { message: expect.any(String), path: ['photo', 'width'] },
    { message: expect.any(String), path: ['sides', 1] },
  ];
  const { input, reply, check: checked } = await overWire(schema);
  expect(input).toMatchObject({ message: expect.stringContaining('photo.width: '), issues });
  expect(reply).toMatchObject({ message: expect.stringContaining('photo.width: '), issues });
  expect(checked).toMatchObject({ known: true, issues });
});

/** As arktype gives them: paths are instances of a class derived from Array, messages are getters. */
class OwnPath extends Array<PropertyKey> {}
class OwnIssue {
  path = OwnPath.from(['a', Symbol('s'), 3, 'x'.repeat(1_000)]);
  get message(): string {
    return `${'m'.repeat(999)}😀`;
  }
}
const withIssues = (issues: readonly unknown[]): Schema => ({
  // The cast hides what a library of another kind may give.
  '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: issues as never }) },
});

test('issues are copied into plain data of bounded size, whatever a library makes them of', () => {
  const { details } = invalid(() => check(withIssues([new OwnIssue()]), 1, 'input', 'm.e'));
  const [{ message, path } = { message: '' }] = details.issues;
  expect(Object.getPrototypeOf(details.issues)).toBe(Array.prototype);
  expect(Object.getPrototypeOf(path)).toBe(Array.prototype);
  expect(path).toEqual(['a', 'Symbol(s)', 3, 'x'.repeat(200)]);
  expect(message).toBe(`${'m'.repeat(999)}\ufffd`); // half of a character cannot be sent
  expect(() => encodeBody(details, 1_000_000)).not.toThrow();
});

test('path segments of the standard, and what is no key, are named', () => {
  const path = [{ key: 'a' }, { key: 1 }, new Date(0), null, 7n, { key: Symbol('k') }];
  const { details } = invalid(() => check(withIssues([{ message: 'no', path }, { message: 4 }]), 1, 'input', 'm.e'));
  expect(details.issues).toEqual([
    { message: 'no', path: ['a', 1, String(new Date(0)), 'null', '7', 'Symbol(k)'] },
    { message: '4' },
  ]);
});

test('a promise of another realm is waited for, and not taken for a result without a value', async () => {
  const later = vm.runInNewContext('(result) => Promise.resolve(result)') as (result: object) => Promise<never>;
  const schema = (result: object): Schema => ({
    '~standard': { version: 1, vendor: 'test', validate: () => later(result) },
  });
  const checked = check(schema({ value: 4 }), 3, 'input', 'm.e');
  expect(checked).toBeInstanceOf(Promise);
  expect(await checked).toBe(4);
  await expect(check(schema({ issues: [{ message: 'no' }] }), 3, 'input', 'm.e')).rejects.toMatchObject({
    code: 'Invalid',
  });
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

import vm from 'node:vm';
import * as v from 'valibot';
import { z } from 'zod';
import { isBusError } from '../../src/base/errors';
import { check, issueMessage } from '../../src/contract/check';
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

// libraries.full.test.ts tests arktype, which jest cannot load.
const libraries: readonly [string, Schema][] = [
  ['zod', z.object({ photo: z.object({ width: z.number() }), sides: z.array(z.string()) })],
  ['valibot', v.object({ photo: v.object({ width: v.number() }), sides: v.array(v.string()) })],
];
test.each(libraries)('%s: a valid value is returned synchronously', (_name, schema) => {
  const value = { photo: { width: 3 }, sides: ['a'] };
  expect(check(schema, value, 'input', 'm.e')).toEqual(value);
});
test.each(libraries)('%s: an invalid value is Invalid with side, entry and each field', (_name, schema) => {
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

test.each(libraries)(
  '%s: the fields that another instance rejects are in the received error',
  async (_name, schema) => {
    const issues = [
      { message: expect.any(String), path: ['photo', 'width'] },
      { message: expect.any(String), path: ['sides', 1] },
    ];
    const { input, reply, check: checked } = await overWire(schema);
    expect(input).toMatchObject({ message: expect.stringContaining('photo.width: '), issues });
    expect(reply).toMatchObject({ message: expect.stringContaining('photo.width: '), issues });
    expect(checked).toMatchObject({ known: true, issues });
  },
);

/** Issues in the form of arktype: paths are instances of a subclass of Array, messages are getters. */
class OwnPath extends Array<PropertyKey> {}
class OwnIssue {
  path = OwnPath.from(['a', Symbol('s'), 3, 'x'.repeat(1_000)]);
  get message(): string {
    return `${'m'.repeat(999)}😀`;
  }
}
const withIssues = (issues: readonly unknown[]): Schema => ({
  // The cast hides values that another library can return.
  '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: issues as never }) },
});

test('issues of any form are copied into plain data of bounded size', () => {
  const { details } = invalid(() => check(withIssues([new OwnIssue()]), 1, 'input', 'm.e'));
  const [{ message, path } = { message: '' }] = details.issues;
  expect(Object.getPrototypeOf(details.issues)).toBe(Array.prototype);
  expect(Object.getPrototypeOf(path)).toBe(Array.prototype);
  expect(path).toEqual(['a', 'Symbol(s)', 3, 'x'.repeat(200)]);
  expect(message).toBe(`${'m'.repeat(999)}\ufffd`); // an unpaired surrogate cannot be sent
  expect(() => encodeBody(details, 1_000_000)).not.toThrow();
});

test('path segments in standard form and non-keys are named', () => {
  const path = [{ key: 'a' }, { key: 1 }, new Date(0), null, 7n, { key: Symbol('k') }];
  const { details } = invalid(() => check(withIssues([{ message: 'no', path }, { message: 4 }]), 1, 'input', 'm.e'));
  expect(details.issues).toEqual([
    { message: 'no', path: ['a', 1, String(new Date(0)), 'null', '7', 'Symbol(k)'] },
    { message: '4' },
  ]);
});

test('a promise of another realm is awaited', async () => {
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

test('check returns the value as transformed by the schema', () => {
  expect(check(z.coerce.date(), '2026-12-24', 'input', 'm.e')).toEqual(new Date('2026-12-24'));
  expect(check(z.object({ a: z.string().default('b') }), {}, 'input', 'm.e')).toEqual({ a: 'b' });
});

const even = z.number().refine(async (n) => n % 2 === 0, 'not even');
test('an asynchronous schema returns a promise of the value', async () => {
  const checked = check(even, 4, 'input', 'm.e');
  expect(checked).toBeInstanceOf(Promise);
  expect(await checked).toBe(4);
});
test('an asynchronous schema rejects with Invalid', async () => {
  await expect(check(even, 5, 'input', 'm.e')).rejects.toMatchObject({
    code: 'Invalid',
    message: 'input of m.e: not even',
  });
});

test('at most ten of a thousand issues are reported', () => {
  const { details } = invalid(() => check(z.array(z.string()), Array(1_000).fill(1), 'input', 'm.e'));
  expect(details.issues).toHaveLength(10);
});

test('an error thrown by a schema is rethrown unchanged', () => {
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

test('unchecked accepts any value', () => {
  expect(check(unchecked(), undefined, 'input', 'm.e')).toBeUndefined();
});

test('the text of an issue has its path, if any', () => {
  expect(issueMessage({ message: 'is red', path: ['a', 0, Symbol('s')] })).toBe('a.0.Symbol(s): is red');
  expect(issueMessage({ message: 'is red', path: [] })).toBe('is red');
  expect(issueMessage({ message: 'is red' })).toBe('is red');
});

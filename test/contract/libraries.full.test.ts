import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

test('arktype schemas check, transform, report wrong fields, and count in the fingerprint', () => {
  const register = join(__dirname, '..', 'register.cjs');
  const out = execFileSync(process.execPath, ['--no-warnings', '--require', register, join(__dirname, 'arktype.ts')]);
  const { good, transformed, refused, prints, wire } = JSON.parse(String(out)) as Record<string, unknown> & {
    refused: { message: string; paths: unknown };
    prints: string[];
    wire: unknown;
  };
  expect(good).toEqual({ photo: { width: 3 }, sides: ['a'] });
  expect(transformed).toBe(12);
  expect(refused.message).toMatch(/^reply of m\.e: photo\.width: .*; sides\.1: /);
  expect(refused.paths).toEqual([
    ['photo', 'width'],
    ['sides', 1],
  ]);
  expect(prints[0]).toBe(prints[1]);
  expect(prints[0]).not.toBe(prints[2]);
  const issues = [
    { message: expect.any(String), path: ['photo', 'width'] },
    { message: expect.any(String), path: ['sides', 1] },
  ];
  expect(wire).toMatchObject({ input: { issues }, reply: { issues }, check: { known: true, issues } });
});

import { callSite, fromCaller, located } from '../../src/delivery/call-site';

const site = (place: string) => ({ stack: `Error\n    at ${place} (app.ts:1:1)` });
const late = (): Error => Object.assign(new Error('late'), { stack: 'Error: late\n    at timer (bus.ts:1:1)' });

test('an error that ends several calls has the line of each caller', () => {
  const shared = Object.assign(late(), { code: 'Closed' });
  const [one, other] = ['first', 'second'].map((place) => fromCaller(shared, site(place)) as typeof shared);
  expect(one).toBe(shared);
  expect(one?.stack).toMatch(/^Error: late\n +at timer .*\n.*called from.*\n +at first/);
  expect(other?.stack).toContain('at second');
  expect(other?.stack).not.toContain('at first');
  expect(other).toMatchObject({ message: 'late', code: 'Closed' });
  expect(other).toBeInstanceOf(Error);
});

test('stacks that have the line, non-errors and frozen errors stay unchanged', () => {
  const error = Object.assign(late(), { stack: 'Error: late\n    at first (app.ts:1:1)' });
  const before = error.stack;
  expect(fromCaller(error, site('first'))).toBe(error);
  expect(error.stack).toBe(before);
  expect(fromCaller('full', site('first'))).toBe('full');
  const frozen = Object.freeze(late());
  expect(fromCaller(frozen, site('first'))).toBe(frozen);
});

test('the call site does not contain the verb itself', () => {
  const verb = () => callSite(verb);
  expect(verb().stack).toContain('call-site.test.ts');
  expect(verb().stack).not.toContain('src/delivery/call-site');
});

test('a located verb resolves with its value', async () => {
  await expect(located(async (n: number) => n + 1)(1)).resolves.toBe(2);
});

test('a located verb counts a call until just before it settles', async () => {
  const steps: string[] = [];
  const count = {
    begin() {
      steps.push('begin');
      return { end: () => void steps.push('end') };
    },
  };
  const run = located(async (n: number) => (n < 0 ? Promise.reject(late()) : n), count);
  await run(1).then((n) => steps.push(`resolved ${n}`));
  await run(-1).catch((error: Error) => steps.push(`rejected ${error.message}`));
  expect(steps).toEqual(['begin', 'end', 'resolved 1', 'begin', 'end', 'rejected late']);
});

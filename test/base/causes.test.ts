/** Causes of errors are kept as plain data, printed, and restored as errors, within bounds. */
import { runInNewContext } from 'node:vm';
import { errorMessage, behind, causeLines, errorOf, isBehind } from '../../src/base/errors';

const refused = (port: number): Error =>
  Object.assign(new Error(`connect ECONNREFUSED 127.0.0.1:${port}`), { code: 'ECONNREFUSED' });
const fetchFailed = (): Error => new TypeError('fetch failed', { cause: refused(9) });

test('the line of an error names each cause once', () => {
  expect(errorMessage(fetchFailed())).toBe('fetch failed; cause: connect ECONNREFUSED 127.0.0.1:9');
  const wrapped = new Error(`saving failed: ${errorMessage(fetchFailed())}`, { cause: fetchFailed() });
  expect(errorMessage(wrapped)).toBe('saving failed: fetch failed; cause: connect ECONNREFUSED 127.0.0.1:9');
});

test('an AggregateError without a message names its errors', () => {
  const both = Object.assign(new AggregateError([refused(8), refused(9)], ''), { code: 'ECONNREFUSED' });
  expect(errorMessage(new TypeError('fetch failed', { cause: both }))).toBe(
    'fetch failed; cause: AggregateError (ECONNREFUSED); cause: connect ECONNREFUSED 127.0.0.1:8; ' +
      'cause: connect ECONNREFUSED 127.0.0.1:9',
  );
});

test('a code is named when the message does not contain it', () => {
  const broken = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' });
  expect(behind(new Error('x', { cause: broken }))).toEqual({ cause: { message: 'socket hang up (ECONNRESET)' } });
});

test('causes of another realm and causes that are not errors are kept', () => {
  const foreign: unknown = runInNewContext("new Error('fetch failed', { cause: new Error('refused') })");
  expect(errorMessage(foreign)).toBe('fetch failed; cause: refused');
  expect(behind(new Error('x', { cause: 'out of paper' }))).toEqual({ cause: { message: 'out of paper' } });
});

test('circular, deep, numerous and long causes are bounded', () => {
  const circle = new Error('round');
  circle.cause = new Error('and round', { cause: circle });
  expect(errorMessage(circle)).toBe('round; cause: and round');
  let chain = new Error('deepest');
  for (let depth = 0; depth < 1_000; depth++) chain = new Error(`level ${depth}`, { cause: chain });
  expect(causeLines(behind(chain))).toHaveLength(16);
  const many = behind(new AggregateError(Array.from({ length: 100 }, (_, n) => new Error(`error ${n}`))));
  expect(many.errors?.map(({ message }) => message)).toEqual(
    [0, 1, 2, 3, 4].map((n) => `error ${n}`).concat('95 more'),
  );
  const long = new Error('x', { cause: new Error('y'.repeat(1_000_000)) });
  expect(errorMessage(long).length).toBeLessThan(600);
});

test('hostile causes of an error do not make its formatting throw', () => {
  const hostile = Object.defineProperty(new Error('x'), 'cause', {
    get: () => {
      throw new Error('not that');
    },
  });
  expect(errorMessage(hostile)).toBe('x');
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  expect(behind(new Error('x', { cause: proxy }))).toEqual({
    cause: { message: 'a value that cannot be shown as text' },
  });
});

test('errorOf restores an error and its causes from plain data', () => {
  const facts = behind(new Error('x', { cause: new AggregateError([fetchFailed(), refused(8)], 'both failed') }));
  const made = errorOf({ message: 'x', ...facts });
  expect(behind(made)).toEqual(facts);
  expect(made.cause).toBeInstanceOf(AggregateError);
});

test.each<[string, unknown, boolean]>([
  ['facts', behind(fetchFailed()), true],
  ['no cause', {}, true],
  ['a cause that is a string', { cause: 'refused' }, false],
  ['a cause without a message', { cause: {} }, false],
  ['errors that are not a list', { errors: {} }, false],
  ['more errors than the limit', { errors: Array(100).fill({ message: 'x' }) }, false],
  ['an endless chain', JSON.parse(`${'{"cause":'.repeat(5_000)}{}${'}'.repeat(5_000)}`), false],
])('isBehind checks received causes: %s', (_what, value, holds) => {
  expect(isBehind(value)).toBe(holds);
});

/** Any value thrown by a handler or a schema becomes a line of text, and never another error. */
import { readFileSync } from 'node:fs';
import {
  BusError,
  busCodes,
  inPart,
  isCode,
  ofList,
  outlookOf,
  readable,
  errorMessage,
  type BusCode,
} from '../../src/base/errors';

const revoked = (() => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
})();
const unreadable = Object.defineProperty(new Error('x'), 'message', {
  get: () => {
    throw new Error('not that');
  },
});

test.each<[string, unknown, string]>([
  ['an error', new TypeError('full'), 'full'],
  ['an error without a message', new TypeError(''), 'TypeError'],
  ['an error whose message is not a string', Object.assign(new Error('x'), { message: 42 }), '42'],
  ['a text', 'full', 'full'],
  ['nothing', undefined, 'thrown: undefined'],
  ['a symbol', Symbol('full'), 'thrown: Symbol(full)'],
  ['an object without a prototype', Object.create(null), 'thrown: a value that cannot be shown as text'],
  ['a revoked Proxy', revoked, 'thrown: a value that cannot be shown as text'],
  ['an error that throws when read', unreadable, 'thrown: a value that cannot be shown as text'],
])('%s becomes a line of text', (_what, thrown, line) => {
  expect(errorMessage(thrown)).toBe(line);
});

test('readable keeps readable values and replaces unreadable ones by an error', () => {
  for (const good of [new TypeError('full'), 'full', undefined, { code: 7 }]) expect(readable(good)).toBe(good);
  for (const bad of [revoked, unreadable, Object.assign(new Error('x'), { message: 42 })]) {
    expect(readable(bad)).toEqual(new Error(errorMessage(bad)));
  }
});

describe('the outlook of a retry', () => {
  // The details do not matter, only the code does.
  const withCode = (code: BusCode): BusError => new BusError(code, 'x', {} as never);

  test('every code has an outlook', () => {
    const codes = Object.keys(busCodes) as BusCode[]; // the keys of a table by code
    const of = (outlook: string): BusCode[] => codes.filter((code) => outlookOf(withCode(code)) === outlook);
    expect(of('final')).toEqual(['Invalid', 'TooLarge', 'Cancelled', 'Closed', 'Conflict']);
    expect(of('operator')).toEqual(['StoreBroken', 'SpoolBroken', 'Incompatible', 'NotAllowed', 'Config']);
    expect(of('transient')).toHaveLength(codes.length - 10);
  });

  test('errors for values that code cannot handle are final, unknown ones transient', () => {
    for (const error of [new TypeError('x'), new RangeError('x'), new SyntaxError('x')]) {
      expect(outlookOf(error)).toBe('final');
    }
    for (const error of [new Error('EIO'), 'full', undefined, revoked]) expect(outlookOf(error)).toBe('transient');
  });
});

describe('retryable', () => {
  const closed = { sinceMs: 1 };
  const away = { waitedMs: 1 };
  it.each<[BusError, boolean]>([
    [new BusError('NoHandler', 'none', { module: 'm' }), true],
    [new BusError('Overloaded', 'full', { retryAfterMs: 1 }), true],
    [new BusError('Timeout', 'late', { reached: 'not-sent', timeoutMs: 1 }), true],
    [new BusError('Timeout', 'late', { reached: 'sent', timeoutMs: 1 }), false],
    [new BusError('Timeout', 'late', { reached: 'waiting', timeoutMs: 1 }), false],
    [new BusError('Unreachable', 'away', { ...away, outcome: 'not-sent' }), true],
    [new BusError('Unreachable', 'away', { ...away, outcome: 'unknown' }), false],
    [new BusError('ResponderLost', 'died', { instance: 'm#1' }), false],
    [new BusError('Closed', 'closed', { ...closed, outcome: 'not-sent' }), false],
    [new BusError('Closed', 'closed', { ...closed, outcome: 'unknown' }), false],
    [new BusError('HandlerFailed', 'threw', { handlerError: 'no' }), false],
    [new BusError('TooLarge', 'long', { messages: 3, limitMessages: 2 }), false],
  ])('is true only when a second call cannot repeat the work: %s', (error, retryable) => {
    expect(error.retryable).toBe(retryable);
  });

  it('ignores missing details: only three codes stay retryable', () => {
    const codes = Object.keys(busCodes) as BusCode[]; // the keys of a table by code
    const retryable = codes.filter((code) => new BusError(code, 'm', undefined as never).retryable);
    expect(retryable).toEqual(['NoHandler', 'Overloaded', 'SpoolFull']);
  });
});

test('the remedy of Unreachable and Closed depends on the outcome', () => {
  const unreachable = (outcome: 'not-sent' | 'unknown') => new BusError('Unreachable', 'm', { outcome, waitedMs: 1 });
  expect(unreachable('not-sent').remedy).toMatch(/^Nothing was sent\./);
  expect(unreachable('unknown').remedy).toMatch(/^It can have arrived\./);
  const closed = (outcome: 'not-sent' | 'unknown') => new BusError('Closed', 'm', { outcome, sinceMs: 1 });
  expect(closed('not-sent').remedy).toMatch(/^Nothing was sent\./);
  expect(closed('unknown').remedy).toMatch(/can have been done/);
});

test('the remedy of an oversized list is to divide it', () => {
  const { remedy } = new BusError('TooLarge', 'long', { messages: 3, limitMessages: 2 });
  expect(remedy).toMatch(/^Divide the list/);
});

test('an error of part of a call has an unknown outcome', () => {
  const away = new BusError('Unreachable', 'away', { outcome: 'not-sent', waitedMs: 1 });
  expect(inPart(away)).toMatchObject({ code: 'Unreachable', details: { outcome: 'unknown' }, retryable: false });
  const closed = new BusError('Closed', 'closed', { outcome: 'not-sent', sinceMs: 1 });
  expect(inPart(closed)).toMatchObject({ code: 'Closed', details: { outcome: 'unknown' } });
  const other = new TypeError('no');
  expect(inPart(other)).toBe(other);
});

test('the error of a body in a list keeps code, details, cause and remedy', () => {
  const large = new BusError('TooLarge', 'too large', { bytes: 2, limitBytes: 1 }, 'why', 'Send less.');
  expect(ofList(large, 3, 7, 'id3')).toMatchObject({
    code: 'TooLarge',
    message: 'body 3 of 7 (counted from 0, id id3): too large',
    details: { bytes: 2, limitBytes: 1, index: 3, id: 'id3' },
    cause: 'why',
    remedy: 'Send less.',
  });
  expect(ofList(new TypeError('no'), 0, 1, 'x')).toMatchObject({ message: expect.stringContaining('no') });
});

test('a code is recognized in an error of the file system, and in nothing else', () => {
  let missing: unknown;
  try {
    readFileSync('/nowhere/at/all');
  } catch (error) {
    missing = error;
  }
  expect([isCode(missing, 'EACCES', 'ENOENT'), isCode(missing, 'EACCES'), isCode(missing)]).toEqual([
    true,
    false,
    false,
  ]);
  for (const other of [undefined, null, 'ENOENT', new Error('ENOENT'), {}]) expect(isCode(other, 'ENOENT')).toBe(false);
});

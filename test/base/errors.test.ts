/** Whatever a handler or a schema throws becomes a line of text, and never another error. */
import { BusError, busCodes, outlookOf, readable, sayError, type BusCode } from '../../src/base/errors';

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
  ['an error whose message is no text', Object.assign(new Error('x'), { message: 42 }), '42'],
  ['a text', 'full', 'full'],
  ['nothing', undefined, 'thrown: undefined'],
  ['a symbol', Symbol('full'), 'thrown: Symbol(full)'],
  ['an object without a prototype', Object.create(null), 'thrown: something that has no text'],
  ['a Proxy that was revoked', revoked, 'thrown: something that has no text'],
  ['an error that throws when it is read', unreadable, 'thrown: something that has no text'],
])('%s is said in a line', (_what, thrown, line) => {
  expect(sayError(thrown)).toBe(line);
});

test('what can be read stays as it was thrown, and what cannot becomes an error that can', () => {
  for (const good of [new TypeError('full'), 'full', undefined, { code: 7 }]) expect(readable(good)).toBe(good);
  for (const bad of [revoked, unreadable, Object.assign(new Error('x'), { message: 42 })]) {
    expect(readable(bad)).toEqual(new Error(sayError(bad)));
  }
});

describe('the outlook of repeating a call', () => {
  // The details do not matter, only the code does.
  const withCode = (code: BusCode): BusError => new BusError(code, 'x', {} as never);

  test('every code has one', () => {
    const codes = Object.keys(busCodes) as BusCode[]; // the keys of a table by code
    const of = (outlook: string): BusCode[] => codes.filter((code) => outlookOf(withCode(code)) === outlook);
    expect(of('final')).toEqual(['Invalid', 'TooLarge', 'Cancelled', 'Closed', 'Conflict']);
    expect(of('operator')).toEqual(['SpoolBroken', 'Incompatible', 'NotAllowed', 'Config']);
    expect(of('transient')).toHaveLength(codes.length - 9);
  });

  test('an error that code throws for a value it cannot handle is final, an unknown one is transient', () => {
    for (const error of [new TypeError('x'), new RangeError('x'), new SyntaxError('x')]) {
      expect(outlookOf(error)).toBe('final');
    }
    for (const error of [new Error('EIO'), 'full', undefined, revoked]) expect(outlookOf(error)).toBe('transient');
  });
});

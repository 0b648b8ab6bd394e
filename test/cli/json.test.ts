import { fromJson, toJson } from '../../src/cli/json';

test('integers of any size are parsed and printed exactly', () => {
  const text = '{"id":12345678901234567890,"small":5,"rate":1.1234567890123457,"far":1e300,"neg":-9007199254740993}';
  const value = fromJson(text);
  expect(value).toEqual({
    id: 12345678901234567890n,
    small: 5,
    rate: 1.1234567890123457,
    far: 1e300,
    neg: -9007199254740993n,
  });
  expect(toJson(value)).toBe(
    '{"id":12345678901234567890,"small":5,"rate":1.1234567890123457,"far":1e+300,"neg":-9007199254740993}',
  );
});

test('a number that would be rounded and a repeated key are rejected with their path', () => {
  expect(() => fromJson('{"a": [1.1234567890123456789]}')).toThrow('a.0: the number 1.1234567890123456789');
  expect(() => fromJson('{"a": 1e400}')).toThrow('a: the number 1e400');
  expect(() => fromJson('{"a": {"b": 1, "b": 2}}')).toThrow('a.b: the key "b" twice');
});

test('a body of 10,000 levels is parsed and printed', () => {
  const text = `${'[{"a":'.repeat(5_000)}1${'}]'.repeat(5_000)}`;
  expect(toJson(fromJson(text))).toBe(text);
});

test('digits inside strings stay strings', () => {
  const value = fromJson('{"12345678901234567890":"12345678901234567890 \\"12345678901234567890\\" bigint:1"}');
  expect(value).toEqual({ '12345678901234567890': '12345678901234567890 "12345678901234567890" bigint:1' });
});

test('invalid JSON throws a SyntaxError', () => {
  expect(() => fromJson('{"a":}')).toThrow(SyntaxError);
  expect(() => fromJson('')).toThrow(SyntaxError);
});

test('dates, bytes, Maps and Sets are printed readably, and bytes in full as hex', () => {
  const body = {
    at: new Date(0),
    image: Uint8Array.of(1, 255),
    byItem: new Map<unknown, unknown>([['pear', 1n]]),
    seen: new Set([1]),
    odd: [NaN, -0, undefined, null],
    left: undefined,
  };
  expect(toJson(body)).toBe(
    '{"at":"1970-01-01T00:00:00.000Z","image":"<2 bytes>","byItem":[["pear",1]],"seen":[1],"odd":["NaN",-0,null,null]}',
  );
  expect(toJson(body.image, 'hex')).toBe('"01ff"');
});

test('indented output equals that of JSON.stringify', () => {
  const value = { a: [1, { b: [] }], c: {} };
  expect(toJson(value, 'counted', 2)).toBe(JSON.stringify(value, null, 2));
});

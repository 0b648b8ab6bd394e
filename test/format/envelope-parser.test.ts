import { parseEnvelope } from '../../src/format/envelope-parser';

const line = '1 work photos.add id1 web#a02f 9f86d081884c7d65:42';

test('parses the words and the named fields, and ignores unknown names', () => {
  expect(parseEnvelope(`${line} sentMs=7 later=1 cause=a%20b baggage={"tenant":"acme"}`)).toEqual({
    kind: 'work',
    entry: 'photos.add',
    id: 'id1',
    from: 'web#a02f',
    stamp: { incarnation: '9f86d081884c7d65', position: 42 },
    sentMs: 7,
    cause: 'a b',
    baggage: { tenant: 'acme' },
  });
});

test('returns the reason why a line is invalid', () => {
  expect(parseEnvelope('1 work photos.add id1')).toEqual({ bad: 'it has fewer than six words' });
  expect(parseEnvelope(line.replace('1 ', '2 '))).toEqual({ bad: 'version 2 is newer than this busbar' });
  expect(parseEnvelope(`${line} hops=1 hops=2`)).toEqual({ bad: 'hops is not a whole number, or is set twice' });
});

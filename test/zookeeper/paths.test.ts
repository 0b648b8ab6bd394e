import fc from 'fast-check';
import { nodeOf, pathsOf, textOf } from '../../src/zookeeper/paths';

test('all nodes of a namespace are below one node', () => {
  const paths = pathsOf('main');
  expect(paths.setting('photos.resize.concurrency')).toBe('/busbar/main/settings/photos.resize.concurrency');
  expect(paths.instance('photos#0a1b')).toBe('/busbar/main/instances/photos#0a1b');
  expect(paths.contract('photos')).toBe('/busbar/main/contracts/photos');
});

test('any text becomes a valid node name and is decoded from it', () => {
  const texts = fc.string({ unit: 'grapheme', maxLength: 300 });
  fc.assert(
    fc.property(texts, (text) => {
      const node = nodeOf(text);
      expect(textOf(node)).toBe(text);
      expect(node).toMatch(/^[!-~]+$/);
      expect(node).not.toMatch(/^\.\.?$|\//);
    }),
  );
  expect(['', '.', '..', '%', 'a/b', '#1'].map(nodeOf)).toEqual(['%', '%2E', '%2E%2E', '%25', 'a%2Fb', '#1']);
});

test('a node name that is not the encoding of a text decodes to undefined', () => {
  for (const node of ['%zz', 'a%2', '%61', 'ä', 'a b', '..', '%FF']) expect(textOf(node)).toBeUndefined();
});

test('half a surrogate pair and a text that is too long are rejected', () => {
  expect(() => nodeOf('a\ud800')).toThrow(expect.objectContaining({ code: 'Invalid' }));
  expect(() => nodeOf('x'.repeat(4_097))).toThrow(
    expect.objectContaining({ code: 'TooLarge', details: { bytes: 4_097, limitBytes: 4_096 } }),
  );
});

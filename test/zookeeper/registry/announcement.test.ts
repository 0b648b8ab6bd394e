import fc from 'fast-check';
import type { Instance } from '../../../src/ports/registry';
import {
  announcementOf,
  instanceOfNode,
  instanceOfText,
  textOfInstance,
} from '../../../src/zookeeper/registry/announcement';
import { instance } from '../../support/zookeeper-sessions';

const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const instances: fc.Arbitrary<Instance> = fc.record({
  name: text,
  module: text,
  address: text,
  incarnation: text,
  host: text,
  pid: fc.nat(),
  sinceMs: fc.nat({ max: 2 ** 42 }),
  version: text,
  serves: fc.dictionary(text, text, { maxKeys: 12 }),
  leaving: fc.boolean(),
});

test('an instance is decoded from its node name, or from data for long names', () => {
  fc.assert(
    fc.property(instances, (one) => {
      const { node, data } = announcementOf(one);
      expect(node.length).toBeLessThanOrEqual(1_000);
      expect(node).toMatch(/^[!-~]+$/);
      expect(data === '' ? instanceOfNode(node) : instanceOfText(data)).toEqual(one);
      if (data !== '') expect(instanceOfNode(node)).toBe('data');
    }),
  );
});

test('an announcement is readable text', () => {
  const one = instance('photos#0a1b', { incarnation: 'f00d', serves: { photos: 'abc', busbar: 'def' } });
  expect(announcementOf(one).node).toBe(
    `photos#0a1b,f00d,at-photos#0a1b,photos,here,${process.pid},1790000000000,1.0.0,0,photos=abc,busbar=def`,
  );
  expect(JSON.parse(textOfInstance(one))).toEqual(one);
});

test('a changed instance gets another node, also when its fields are in the data', () => {
  const serves = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`contract${n}`, 'f'.repeat(16)]));
  const [one, changed] = [instance('photos#1', { serves }), instance('photos#1', { serves, leaving: true })];
  expect(announcementOf(one).data).not.toBe('');
  expect(announcementOf(one).node).not.toBe(announcementOf(changed).node);
});

test('an invalid announcement decodes to undefined', () => {
  fc.assert(fc.property(fc.string(), (node) => [undefined, 'data'].includes(instanceOfNode(node) as undefined)));
  const { node } = announcementOf(instance('photos#1'));
  for (const wrong of [node.replace('1790000000000', 'soon'), `${node},%zz=`, `${node},contract`, ''])
    expect(instanceOfNode(wrong)).toBeUndefined();
  for (const wrong of ['', 'null', '[]', '{"name":"a"}', JSON.stringify({ ...instance('a'), serves: { b: 1 } })])
    expect(instanceOfText(wrong)).toBeUndefined();
});

test('too many contracts or bytes are rejected with the limit', () => {
  const serves = (count: number, bytes: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`${n}`, 'f'.repeat(bytes)]));
  const tooLarge = (unit: string) =>
    expect.objectContaining({
      code: 'TooLarge',
      message: expect.stringMatching(`announces \\d+ ${unit}, the limit is`),
    });
  expect(() => textOfInstance(instance('a', { serves: serves(257, 1) }))).toThrow(tooLarge('contracts'));
  expect(() => textOfInstance(instance('a', { serves: serves(2, 40_000) }))).toThrow(tooLarge('bytes'));
  // Each contract has a node with the whole announcement: 250 of them exceed the limit of one transaction.
  expect(() => textOfInstance(instance('a', { serves: serves(250, 32) }))).toThrow(
    tooLarge('bytes in one transaction'),
  );
  expect(textOfInstance(instance('a', { serves: serves(100, 32) }))).toMatch(/^\{/);
});

import type { Instance } from '../../../src/ports/registry';
import { isSame, keep } from '../../../src/zookeeper/registry/instance-list';
import { instance } from '../../support/zookeeper-sessions';

const known = (...instances: Instance[]) => new Map(instances.map((one) => [`${one.name},${one.incarnation}`, one]));
const [one, two, three] = [instance('photos#1'), instance('photos#2'), instance('photos#3')];

test('an instance that is missing just after a reconnect stays known', () => {
  expect(keep(known(one), known(two, three))).toEqual(known(two, three, one));
  expect(keep(known(one), new Map())).toEqual(known(one));
  expect(keep(new Map(), known(one))).toEqual(known(one));
});

test('a leaving instance is not kept', () => {
  const gone = instance('photos#2', { leaving: true });
  expect(keep(known(one, gone), new Map())).toEqual(known(one));
});

test('an instance announced again under the same name or address is known once', () => {
  const again = instance('photos#1', { incarnation: 'new', address: 'elsewhere' });
  expect(keep(known(one), known(again))).toEqual(known(again));
  const heir = instance('photos#9', { address: one.address });
  expect(keep(known(one), known(heir))).toEqual(known(heir));
});

test('two lists are equal when they have the same nodes, in any order', () => {
  expect(isSame(known(one, two), known(two, one))).toBe(true);
  expect(isSame(known(one), known(one, two))).toBe(false);
  expect(isSame(known(one, three), known(one, two))).toBe(false);
});

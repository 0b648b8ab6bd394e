import {
  assignedTo,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  entryHash,
  topicsOf,
} from '../../../src/kafka/group/subscription';
import { seededRandom } from '../../../src/memory/clock';

const plain = { instance: 'photos#c41f', round: 3, owned: [0, 5], giving: [2], busy: [], leaving: false };
const declared = {
  ...plain,
  had: [7],
  serves: [entryHash('photos.resize'), entryHash('photos.crop')],
  misses: new Map([[5, [entryHash('photos.rotate')]]]),
};

describe('the subscription and the assignment', () => {
  it('are decoded as they were encoded', () => {
    const said = encodeSubscription('a.photos.work', declared);
    expect(decodeSubscription(said)).toEqual({ topic: 'a.photos.work', declared });
    expect(topicsOf(said)).toEqual(['a.photos.work']);
    const assigned = { partitions: [1, 4], moving: true, round: 3, again: true };
    const told = encodeAssignment('a.photos.work', assigned);
    expect(decodeAssignment(told, 'a.photos.work')).toEqual(assigned);
    expect(assignedTo(told, 'a.photos.work')).toEqual([1, 4]);
    expect(assignedTo(told, 'another')).toEqual([]);
    expect(decodeAssignment(encodeAssignment('t', { ...assigned, partitions: [] }), 't')?.partitions).toEqual([]);
  });

  it('have the formats of Kafka: version, topics, user data', () => {
    const said = encodeSubscription('t', declared);
    expect(said.subarray(0, 9).toString('hex')).toBe('0000' + '00000001' + '0001' + '74');
    const [own, hash] = [{ ...declared, misses: { 5: [entryHash('photos.rotate')] } }, /^[\w-]{6}$/];
    expect(said.subarray(13).toString()).toBe(`busbar1 ${JSON.stringify(own)}`);
    for (const entry of declared.serves) expect(entry).toMatch(hash);
  });

  it('are decoded from members of busbar 0.1.0, which declare neither entries nor lost partitions', () => {
    const said = encodeSubscription('t', { ...plain, had: undefined, serves: undefined, misses: [] } as never);
    const older = Buffer.from(said.toString('latin1').replace(',"misses":{}', ''), 'latin1');
    older.writeInt32BE(older.length - 13, 9);
    expect(older.toString()).not.toMatch(/had|serves|misses/);
    expect(decodeSubscription(older)?.declared).toEqual({ ...plain, had: [], serves: undefined, misses: new Map() });
  });

  it('are undefined when foreign or malformed, and damaged bytes never throw', () => {
    const foreign = Buffer.from('0000000000010001740000000100000000ffffffff', 'hex');
    expect(decodeAssignment(foreign, 't')).toBeUndefined();
    expect(assignedTo(foreign, 't')).toEqual([0]);
    const random = seededRandom(9);
    for (const whole of [
      encodeSubscription('t', declared),
      encodeAssignment('t', { partitions: [1], moving: true, round: 1, again: false }),
    ])
      for (let n = 0; n < 500; n++) {
        const bytes = Buffer.from(whole.subarray(0, Math.floor(random.next() * (whole.length + 1))));
        if (bytes.length > 0) bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
        expect(() => [decodeSubscription(bytes), decodeAssignment(bytes, 't'), topicsOf(bytes)]).not.toThrow();
      }
    for (const wrong of [
      { owned: 'all' },
      { giving: [1.5] },
      { instance: 4 },
      { round: 'x' },
      { had: [null] },
      { serves: [1] },
      { misses: new Map([[1, 'x']]) },
    ]) {
      expect(decodeSubscription(encodeSubscription('t', { ...declared, ...wrong } as never))).toBeUndefined();
    }
  });
});

import {
  assignedTo,
  decodeAssigned,
  decodeDeclared,
  encodeAssigned,
  encodeDeclared,
  topicsOf,
} from '../../src/kafka/grouptalk';
import { seededRandom } from '../../src/memory/clock';

const declared = { instance: 'photos#c41f', round: 3, owned: [0, 5], giving: [2], busy: [], leaving: false };

describe('what members tell each other', () => {
  it('comes back as it was said', () => {
    const said = encodeDeclared('a.photos.work', declared);
    expect(decodeDeclared(said)).toEqual({ topic: 'a.photos.work', declared });
    expect(topicsOf(said)).toEqual(['a.photos.work']);
    const assigned = { partitions: [1, 4], moving: true, round: 3 };
    const told = encodeAssigned('a.photos.work', assigned);
    expect(decodeAssigned(told, 'a.photos.work')).toEqual(assigned);
    expect(assignedTo(told, 'a.photos.work')).toEqual([1, 4]);
    expect(assignedTo(told, 'another')).toEqual([]);
    expect(decodeAssigned(encodeAssigned('t', { ...assigned, partitions: [] }), 't')?.partitions).toEqual([]);
  });

  it('has the forms that Kafka prescribes: version, topics, own data', () => {
    const said = encodeDeclared('t', declared);
    expect(said.subarray(0, 9).toString('hex')).toBe('0000' + '00000001' + '0001' + '74');
    expect(said.subarray(13).toString()).toBe(`busbar1 ${JSON.stringify(declared)}`);
  });

  it('is nothing where somebody else wrote it, or bytes are missing or wrong', () => {
    const foreign = Buffer.from('0000000000010001740000000100000000ffffffff', 'hex');
    expect(decodeAssigned(foreign, 't')).toBeUndefined();
    expect(assignedTo(foreign, 't')).toEqual([0]);
    const random = seededRandom(9);
    for (const whole of [
      encodeDeclared('t', declared),
      encodeAssigned('t', { partitions: [1], moving: true, round: 1 }),
    ])
      for (let n = 0; n < 500; n++) {
        const bytes = Buffer.from(whole.subarray(0, Math.floor(random.next() * (whole.length + 1))));
        if (bytes.length > 0) bytes[Math.floor(random.next() * bytes.length)] = Math.floor(random.next() * 256);
        expect(() => [decodeDeclared(bytes), decodeAssigned(bytes, 't'), topicsOf(bytes)]).not.toThrow();
      }
    for (const wrong of [{ owned: 'all' }, { giving: [1.5] }, { instance: 4 }, { round: 'x' }]) {
      expect(decodeDeclared(encodeDeclared('t', { ...declared, ...wrong } as never))).toBeUndefined();
    }
  });
});

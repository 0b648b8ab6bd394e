import { PacketReceiver } from '../../../src/kafka/messenger/receiver';
import type { Stored } from '../../../src/ports/log';

const mine = 'a'.repeat(16);

function receiver(onPacket: (line: string) => void = () => undefined) {
  const calls: string[] = [];
  const call = (text: string): void => void calls.push(text);
  const packets = new PacketReceiver({
    incarnation: mine,
    loopback: {
      observe: (record) => call(`observe ${record.headers['bus']}`),
      returned: (id) => call(`returned ${id}`),
    },
    probe: { answered: (id) => call(`answered ${id}`) },
    peers: {
      heard: (address) => address.startsWith('1:'),
      left: (address) => call(`bye ${address}`),
    },
    respond: (address, id) => call(`respond ${address} ${id}`),
    dropped: (what, reason) => call(`dropped ${what} ${reason}`),
  });
  packets.deliverTo({
    packet({ line, body }, from) {
      call(`packet ${line} ${body.length} ${from}`);
      onPacket(line);
    },
    left: (address) => call(`left ${address}`),
  });
  return { packets, calls };
}
const stored = (headers: Record<string, string>, value: Buffer | null = null): Stored => ({
  partition: 0,
  offset: 0,
  timeMs: 0,
  key: null,
  value,
  headers,
});
const toMe = (bus: string, post?: string): Stored =>
  stored({ to: mine, from: '1:b', bus, ...(post !== undefined && { post }) });

describe('the receiver of packets', () => {
  it('responds to probes of one read before it delivers the packets', () => {
    const { packets, calls } = receiver();
    packets.fromInbox([toMe('p1'), toMe('q', 'ask'), toMe('r', 'here'), toMe('p2')]);
    expect(calls).toEqual(['observe p2', 'respond 1:b q', 'answered r', 'packet p1 0 1:b', 'packet p2 0 1:b']);
  });

  it('skips packets to another instance of the same inbox', () => {
    const { packets, calls } = receiver();
    packets.fromInbox([stored({ to: 'c'.repeat(16), from: '1:b', bus: 'p', post: 'ask' })]);
    expect(calls).toEqual(['observe p']);
  });

  it('passes on goodbyes, departures and its own packets', () => {
    const { packets, calls } = receiver();
    packets.fromInbox([toMe('', 'bye'), toMe('e', 'echo')]);
    packets.left('1:d');
    expect(calls).toEqual(['observe e', 'bye 1:b', 'returned e', 'left 1:d']);
  });

  it('reports a packet without a valid sender, and a packet whose receiver throws', () => {
    const { packets, calls } = receiver(() => {
      throw new Error('no');
    });
    packets.fromInbox([stored({ to: mine, from: 'x', bus: 'p' }), toMe('q')]);
    packets.fromBroadcast(stored({ from: '1:b', bus: 'all' }, Buffer.from('ab')));
    expect(calls).toEqual([
      'observe q',
      `dropped packet from 'x', which is not an address`,
      'packet q 0 1:b',
      'dropped packet its receiver threw: no',
      'packet all 2 1:b',
      'dropped packet its receiver threw: no',
    ]);
  });

  it('handles only its own packets once it is closed', () => {
    const { packets, calls } = receiver();
    packets.close();
    packets.fromInbox([toMe('p'), toMe('q', 'ask'), toMe('', 'bye'), toMe('e', 'echo')]);
    packets.fromBroadcast(stored({ from: '1:b', bus: 'all' }));
    expect(calls).toEqual(['observe e', 'returned e']);
  });
});

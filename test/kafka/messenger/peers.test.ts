/** Peers that a messenger remembers, and the schedule of their liveness probes. */
import { Peers } from '../../../src/kafka/messenger/peers';
import { virtualClock } from '../../../src/memory';

const addressOf = (n: number): string => `1:${n.toString(16).padStart(16, '0')}`;

function system(lives: (address: string) => boolean = () => false) {
  const clock = virtualClock();
  const gone: string[] = [];
  const asked: number[] = [];
  const peers = new Peers({
    clock,
    echo: async () => true,
    async answers(address, readAll) {
      asked.push(clock.mono());
      if (lives(address)) return true;
      await readAll();
      return false;
    },
    gone: (address) => void gone.push(address),
  });
  return { clock, peers, gone, asked };
}

test('the departure of a used peer is reported, however many other peers were added', async () => {
  const { clock, peers, gone } = system();
  const used = addressOf(0);
  for (let n = 1; n <= 25_000; n++) {
    peers.at(used);
    peers.heard(addressOf(n));
  }
  peers.lost([used]);
  await clock.advance(1_000);
  expect(gone).toEqual([used]);
});

test('a running peer without an announcement is probed ever less often, until it is announced', async () => {
  const { clock, peers, gone, asked } = system(() => true);
  const address = addressOf(1);
  peers.at(address);
  peers.lost([address]);
  await clock.advance(3_600_000);
  expect(asked.length).toBeGreaterThan(800);
  expect(asked.length).toBeLessThan(1_000);
  peers.up(address);
  const before = asked.length;
  await clock.advance(60_000);
  expect([asked.length, gone]).toEqual([before, []]);
});

test('a peer that is lost repeatedly is probed as often as one lost once', async () => {
  const { clock, peers, asked } = system(() => true);
  const address = addressOf(1);
  peers.at(address);
  for (let n = 0; n < 10; n++) {
    peers.lost([address]);
    await clock.advance(10);
    peers.up(address);
  }
  peers.lost([address]);
  await clock.advance(100);
  const before = asked.length;
  await clock.advance(3_000); // after one second, and after two more
  expect(asked.length - before).toBe(2);
});

test('a probed peer is reported as gone only when no packet of it arrives', async () => {
  const { clock, peers, gone } = system();
  const address = addressOf(1);
  peers.at(address);
  peers.lost([address]);
  peers.heard(address);
  await clock.advance(900);
  expect(gone).toEqual([]);
  await clock.advance(200);
  expect(gone).toEqual([address]);
});

test('closed peers send no probe and report no departure', async () => {
  const { clock, peers, gone, asked } = system();
  peers.at(addressOf(1));
  peers.lost([addressOf(1)]);
  peers.close();
  await clock.advance(60_000);
  expect(gone).toEqual([]);
  expect(asked.length).toBeLessThanOrEqual(1);
  expect(clock.nextDueMs).toBeUndefined();
});

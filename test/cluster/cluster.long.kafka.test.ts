import net from 'node:net';
import { brokersKnownAt, until } from './ports';
import { kafkaSuite } from './suite';

kafkaSuite(
  'the servers of the cluster of the run',
  (suite) => {
    const portsOf = (list: string): number[] => list.split(',').map((one) => Number(one.split(':')[1]));

    it('loses a broker that is killed, and has it back when it is mended', async () => {
      const [one = 0, two = 0] = portsOf(suite.cluster.brokers);
      await suite.cluster.broker(1).kill();
      await until('its death is noticed', 20_000, async () => (await brokersKnownAt(two)) === 2);
      expect(await brokersKnownAt(one)).toBe(0);
      await suite.cluster.mend();
      expect(await brokersKnownAt(one)).toBe(3);
    }, 90_000);

    it('has servers that accept and never answer while they are frozen', async () => {
      const [, , three = 0] = portsOf(suite.cluster.brokers);
      await suite.cluster.broker(3).freeze();
      const socket = net.connect(three, '127.0.0.1');
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      socket.destroy();
      expect(await brokersKnownAt(three)).toBe(0);
      await suite.cluster.broker(3).thaw();
      await suite.cluster.mend();
      expect(await brokersKnownAt(three)).toBe(3);
    }, 60_000);

    it('stops and starts a server in order', async () => {
      const [, two = 0] = portsOf(suite.cluster.brokers);
      await suite.cluster.broker(2).restart();
      expect(await brokersKnownAt(two)).toBeGreaterThan(0);
    }, 90_000);
  },
  { alone: true },
);

import net from 'node:net';
import { brokersKnownAt, until } from './ports';
import { kafkaSuite } from './suite';

kafkaSuite(
  'the test cluster with faults',
  (suite) => {
    const portsOf = (list: string): number[] => list.split(',').map((one) => Number(one.split(':')[1]));

    it('loses a killed broker, and regains it when the cluster is repaired', async () => {
      const [one = 0, two = 0] = portsOf(suite.cluster.brokers);
      await suite.cluster.broker(1).kill();
      await until('its death is noticed', 20_000, async () => (await brokersKnownAt(two)) === 2);
      expect(await brokersKnownAt(one)).toBe(0);
      await suite.cluster.mend();
      expect(await brokersKnownAt(one)).toBe(3);
    }, 90_000);

    it('has a frozen broker accept connections without answering until it is thawed', async () => {
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

    it('has a broker serve again after a restart', async () => {
      const [, two = 0] = portsOf(suite.cluster.brokers);
      await suite.cluster.broker(2).restart();
      expect(await brokersKnownAt(two)).toBeGreaterThan(0);
    }, 90_000);
  },
  { alone: true },
);

/** The command where the servers of the configuration are away: no process ends without a word. */
import { kit } from './kit';

jest.setTimeout(240_000);

const servers = { BUSBAR_BROKERS: '127.0.0.1:1', BUSBAR_ZOOKEEPER: '127.0.0.1:1', BUSBAR_SESSION_MS: '1000' };

test('servers that are away are unreachable, and named, although nothing but the waiting bus holds the process', async () => {
  const k = kit({ BUSBAR_TRANSPORT: 'kafka', ...servers });
  const { code, out, err } = await k.run(['queues']);
  await k.close();
  expect({ code, out }).toEqual({ code: 69, out: '' });
  expect(err).toContain('ZooKeeper at 127.0.0.1:1 does not answer');
});

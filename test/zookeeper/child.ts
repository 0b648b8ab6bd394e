/** A process that announces itself, says so, and then only lives: `node --require test/register.cjs child.ts <connect> <ns> <name> <sessionMs>`. */
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openZookeeper } from '../../src/zookeeper/open';
import { instance } from './kit';

const [connect = '', ns = '', name = '', sessionMs = ''] = process.argv.slice(2);

async function main(): Promise<void> {
  const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
  const { registry } = await openZookeeper({ ...around, connect, ns, sessionMs: Number(sessionMs) });
  await registry.announce(instance(name));
  process.send?.('announced');
}
process.on('disconnect', () => process.exit());
void main();

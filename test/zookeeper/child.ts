/** A process that announces itself and stays, or leaves: `child.ts <connect> <ns> <name> <sessionMs> [leave]`. */
import { systemClock, systemRandom } from '../../src/base/clock';
import { openNotices } from '../../src/base/notices';
import { openZookeeper } from '../../src/zookeeper/open';
import { instance } from '../support/zookeeper-sessions';

const [connect = '', ns = '', name = '', sessionMs = '', leave] = process.argv.slice(2);

async function main(): Promise<void> {
  const around = { clock: systemClock, random: systemRandom, notices: openNotices() };
  const opened = await openZookeeper({ ...around, connect, ns, sessionMs: Number(sessionMs) });
  await opened.registry.announce(instance(name));
  if (leave === undefined) return void process.on('disconnect', () => process.exit());
  await opened.close();
  process.send?.('left', () => process.disconnect());
}
void main();

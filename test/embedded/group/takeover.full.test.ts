import type { Owner } from '../../../src/ports/log';
import { openLogs } from '../../support/embedded-log';

const topic = { name: 'topic', partitions: 4, compacted: false, keepMs: null };
let logs: ReturnType<typeof openLogs>;
beforeEach(() => (logs = openLogs()));
afterEach(() => logs.close());

function member(): { readonly owner: Owner; readonly owned: () => readonly number[] } {
  const owned = new Set<number>();
  const owner: Owner = {
    onAssigned: ({ partition }) => void owned.add(partition),
    onRevoked: async (partition) => void owned.delete(partition),
  };
  return { owner, owned: () => [...owned].toSorted((a, b) => a - b) };
}

test('a process that starts after one was killed owns all partitions when it has joined, without a timer', async () => {
  const [killed, restarted] = [member(), member()];
  const first = await logs.open();
  await first.log.ensure(topic);
  await first.log.join('group', topic.name, killed.owner);
  expect(killed.owned()).toEqual([0, 1, 2, 3]);
  first.process.die();
  const second = await logs.open();
  second.process.freeze(); // its timers
  await second.log.join('group', topic.name, restarted.owner);
  expect(restarted.owned()).toEqual([0, 1, 2, 3]);
});

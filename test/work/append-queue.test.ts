import { Capacity } from '../../src/base/bounded';
import { deferred } from '../../src/base/lifecycle';
import type { Append, Topic } from '../../src/ports/log';
import type { Outbox } from '../../src/ports/outbox';
import { AppendQueue } from '../../src/work/append-queue';
import type { EncodedMessage } from '../../src/work/encode-messages';
import { topic } from '../support/work-queue';

const message = (id: string): EncodedMessage => ({
  key: null,
  value: Buffer.from('{}'),
  id,
  envelope: { kind: 'work', entry: 'photos.resize', id, from: 'web#0001' },
  traceparent: undefined,
});

/** A queue, and the appends that it has made. `ensure` replaces the creation of the topic. */
function open(ensure: (topic: Topic) => Promise<Topic> = async (one) => one) {
  const appends: (readonly Append[])[] = [];
  const outbox: Outbox = {
    reached: 'disk',
    ensure,
    append: async (_topic: string, records: readonly Append[]) => (appends.push(records), []),
  };
  let position = 0;
  const stamp = () => ({ incarnation: '9f86d081884c7d65', position: ++position });
  const queue = new AppendQueue(outbox, topic, stamp, new Capacity({ count: Infinity, bytes: 1e6 }));
  const stamps = (): (readonly (string | undefined)[])[] =>
    appends.map((records) => records.map(({ headers }) => headers['bus']?.split(' ')[5]?.split(':')[1]));
  const ids = (): (readonly (string | undefined)[])[] =>
    appends.map((records) => records.map(({ headers }) => headers['bus']?.split(' ')[3]));
  return { queue, stamps, ids };
}

test('the messages of one turn share an append, with stamps in its order', async () => {
  const { queue, stamps, ids } = open();
  const answers = await Promise.all(['a', 'b'].map((id) => queue.send(1, 'one', { bytes: 2, ready: [message(id)] })));
  expect(answers).toEqual([[{ id: 'a', reached: 'disk' }], [{ id: 'b', reached: 'disk' }]]);
  expect(ids()).toEqual([['a', 'b']]);
  expect(stamps()).toEqual([['1', '2']]);
});

test('later messages do not overtake one that waits for its check', async () => {
  const { queue, ids } = open();
  const checked = deferred<readonly EncodedMessage[]>();
  const first = queue.send(1, 'one', { bytes: 2, ready: checked.promise });
  const second = queue.send(1, 'one', { bytes: 2, ready: [message('b')] });
  checked.resolve([message('a')]);
  await Promise.all([first, second]);
  expect(ids().flat()).toEqual(['a', 'b']);
});

test('a topic that cannot be prepared rejects the waiting messages, and the next message retries', async () => {
  let tries = 0;
  const { queue, ids } = open(async (one) => {
    if (++tries === 1) throw new Error('no topic');
    return one;
  });
  await expect(queue.send(1, 'one', { bytes: 2, ready: [message('a')] })).rejects.toThrow('no topic');
  await queue.send(1, 'one', { bytes: 2, ready: [message('b')] });
  expect(ids()).toEqual([['b']]);
  await queue.idle();
});

import { BusError } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { deferred } from '../../src/base/lifecycle';
import { openEventSubscriptions } from '../../src/broadcast/event-subscriptions';
import { openScopes } from '../../src/delivery/context';
import { encodeBody } from '../../src/format/codec';
import { printEnvelope } from '../../src/format/envelope-printer';
import { defineModule, event, unchecked } from '../../src/index';
import { memoryWorld, virtualClock } from '../../src/memory';
import type { Topic } from '../../src/ports/log';

const { added, removed } = defineModule('photos', {
  added: event(unchecked<number>()),
  removed: event(unchecked<number>()),
});
const topic: Topic = { name: 't.photos.events', partitions: 2, compacted: false, keepMs: null };

/** Event subscriptions on an in-memory log, with a count of open tails. */
function open() {
  const clock = virtualClock();
  const { log } = memoryWorld({ clock }).process('a');
  const tails = { open: 0, opened: 0, refuses: false, staysOpen: false };
  const counted: typeof log = {
    ...log,
    async tail(...args) {
      const tail = await log.tail(...args);
      tails.open++;
      tails.opened++;
      return {
        ...tail,
        read: async (max) => {
          if (tails.refuses) throw new BusError('NotAllowed', 'no right to read', { what: 'reading' });
          return tail.read(max);
        },
        async close() {
          if (tails.staysOpen) throw new Error('ECONNRESET');
          await tail.close();
          tails.open--;
        },
      };
    },
  };
  const around = { clock, notices: openNotices(), scopes: openScopes(), middleware: [] };
  const states: string[] = [];
  around.notices.watchStates(({ part, ok }) => void states.push(`${part} ${ok ? 'works' : 'fails'}`));
  const subscriptions = openEventSubscriptions({ ...around, log: counted, drainMs: 1_000 });
  const publish = async (entry: string, n: number, given?: string): Promise<void> => {
    const once = given === undefined ? undefined : 'given';
    const bus = printEnvelope({ kind: 'event', entry, id: given ?? `id${n}`, from: 'photos#1', once });
    const value = encodeBody(n, 100, 'input', entry);
    await log.append(topic.name, [{ partition: 0, key: null, value, headers: { bus } }]);
    await clock.advance(10);
  };
  const dropped: string[] = [];
  around.notices.watch((notice) => {
    if (notice.type === 'dropped') dropped.push(notice.reason);
  });
  return { clock, ears: subscriptions, tails, publish, states, dropped };
}

describe('plain listeners of a topic', () => {
  it('share one reader, which closes with the last of them', async () => {
    const { ears: subscriptions, tails } = open();
    const one = await subscriptions.listen(topic, added, () => undefined);
    const two = await subscriptions.listen(topic, removed, () => undefined);
    expect(tails).toMatchObject({ open: 1, opened: 1 });
    await one.close();
    expect(tails.open).toBe(1);
    await two.close();
    expect(tails.open).toBe(0);
  });

  it('handle a given id once while they listen, and report its copies', async () => {
    const { ears: subscriptions, publish, dropped } = open();
    const heard: number[] = [];
    await (await subscriptions.listen(topic, added, () => undefined)).close();
    await publish(added.name, 1, 'x');
    const first = await subscriptions.listen(topic, added, (n) => void heard.push(n as number));
    await publish(added.name, 1, 'x'); // the one before was published too early for this listener
    await publish(added.name, 1, 'x');
    await publish(added.name, 2, 'x');
    await publish(added.name, 2, 'y');
    expect(heard).toEqual([1, 2]);
    expect(dropped).toEqual([
      't.photos.events/0 at 2: it is a copy of the event at offset 1, which has its id',
      't.photos.events/0 at 3: it has another body than the event at offset 1, which has its id',
    ]);
    await first.close();
  });

  it('get a new reader when one listens after the last was or is being closed', async () => {
    const { clock, ears: subscriptions, tails, publish } = open();
    const heard: number[] = [];
    const listen = () => subscriptions.listen(topic, added, (n) => void heard.push(n as number)); // the contract's type
    await (await listen()).close();
    const running = deferred<void>();
    const slow = await subscriptions.listen(topic, added, () => running.promise);
    await publish(added.name, 1);
    const closing = slow.close();
    const next = await listen();
    await publish(added.name, 2);
    expect(heard).toEqual([2]);
    running.resolve();
    await clock.advance(2_000);
    await closing;
    expect(tails).toMatchObject({ open: 1, opened: 3 });
    await next.close();
    expect(tails.open).toBe(0);
  });

  it('keep the new reader of their topic when an earlier one is closed again because its close failed', async () => {
    const { ears: subscriptions, tails } = open();
    const one = await subscriptions.listen(topic, added, () => undefined);
    tails.staysOpen = true;
    await expect(one.close()).rejects.toThrow('ECONNRESET');
    tails.staysOpen = false;
    const two = await subscriptions.listen(topic, added, () => undefined);
    await one.close();
    const three = await subscriptions.listen(topic, added, () => undefined);
    expect(tails).toMatchObject({ open: 1, opened: 2 });
    await two.close();
    await three.close();
    expect(tails.open).toBe(0);
  });

  it('are rejected after close, and a reader that opens meanwhile is closed', async () => {
    const { ears: subscriptions, tails } = open();
    const listening = subscriptions.listen(topic, added, () => undefined);
    await (await listening).close();
    const late = subscriptions.listen(topic, added, () => undefined).catch((error: unknown) => error);
    await subscriptions.close();
    await late;
    expect(await subscriptions.listen(topic, added, () => undefined).catch((error: unknown) => error)).toMatchObject({
      code: 'Closed',
    });
    expect(tails.open).toBe(0);
  });

  it('report once when their topic cannot be read, and when it can again', async () => {
    const { clock, ears: subscriptions, tails, publish, states } = open();
    const heard: number[] = [];
    tails.refuses = true;
    await subscriptions.listen(topic, added, (n) => void heard.push(n as number)); // the contract's type
    await clock.advance(30_000);
    expect(states).toEqual(['tail of t.photos.events fails']);
    tails.refuses = false;
    await clock.advance(1_000);
    await publish(added.name, 1);
    expect(heard).toEqual([1]);
    expect(states).toEqual(['tail of t.photos.events fails', 'tail of t.photos.events works']);
  });
});

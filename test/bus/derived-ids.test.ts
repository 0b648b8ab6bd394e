/** Messages that handlers send: a handler that is repeated sends none of them twice. */
import { broadcast, defineModule, event, request, unchecked, work } from '../../src/index';
import { testBus } from '../../src/testing';

interface Mail {
  readonly to: string;
}
const orders = defineModule('orders', {
  place: work(unchecked<string>(), { attempts: 5, backoffMs: 100 }),
  check: request(unchecked<string>(), unchecked<void>()),
  retry: request(unchecked<string>(), unchecked<void>(), { idempotent: true }),
  refresh: broadcast(unchecked<string>()),
  placed: event(unchecked<string>()),
});
const mail = defineModule('mail', { send: work(unchecked<Mail>(), { key: ({ to }: Mail) => to }) });
const nothing = { place: () => {}, check: () => {}, retry: () => {}, refresh: () => {} };

/** A bus of orders, and the mails that were handled. */
async function open() {
  const bus = testBus(orders);
  const mails: string[] = [];
  await bus.as(mail).serve(mail, { send: ({ to }) => void mails.push(to) });
  return { bus, mails, ids: () => bus.sent(mail.send).map(({ id }) => id) };
}

test('a handler that fails after its submits sends each of them once, in any order', async () => {
  const { bus, mails, ids } = await open();
  await bus.serve(orders, {
    ...nothing,
    async place(order, { attempt }) {
      const all = ['ann', 'bob', 'cid'].map((to) => ({ to: `${to} ${order}` }));
      for (const one of attempt % 2 ? all : all.toReversed()) await bus.submit(mail.send, one);
      await bus.submitAll(mail.send, [{ to: 'twice' }, { to: 'twice' }]);
      if (attempt < 4) throw new Error('not yet');
    },
  });
  await bus.submit(orders.place, 'o1');
  await bus.clock.advance(5_000);
  expect(mails.toSorted()).toEqual(['ann o1', 'bob o1', 'cid o1', 'twice', 'twice']);
  expect(ids()).toHaveLength(20);
  expect(new Set(ids()).size).toBe(5);
});

test('an attempt sends what the attempts before it did not', async () => {
  const { bus, mails } = await open();
  await bus.serve(orders, {
    ...nothing,
    async place(_order, { attempt }) {
      await bus.submit(mail.send, { to: `attempt ${attempt}` });
      if (attempt < 3) throw new Error('not yet');
    },
  });
  await bus.submit(orders.place, 'o1');
  await bus.clock.advance(5_000);
  expect(mails.toSorted()).toEqual(['attempt 1', 'attempt 2', 'attempt 3']);
});

test('two listeners of one event, and two equal jobs, each send their own message', async () => {
  const { bus, mails } = await open();
  const send = (to: string) => bus.submit(mail.send, { to }).then(() => undefined);
  for (const as of ['first', 'second']) await bus.listen(orders.placed, { as }, () => send('a listener'));
  await bus.serve(orders, { ...nothing, place: () => send('a job') });
  await bus.publish(orders.placed, 'o1');
  await bus.submit(orders.place, 'o1');
  await bus.submit(orders.place, 'o1');
  await bus.settled();
  expect(mails.toSorted()).toEqual(['a job', 'a job', 'a listener', 'a listener']);
});

test('ids are derived in jobs, named listeners and idempotent requests, also inside with', async () => {
  const { bus, ids } = await open();
  const send = async (): Promise<void> => {
    await bus.with({}, () => bus.submit(mail.send, { to: 'ann' }));
  };
  await bus.serve(orders, { place: send, check: send, retry: send, refresh: send });
  await bus.listen(orders.placed, send);
  await bus.listen(orders.placed, { as: 'named' }, send);
  const isDerived = async (run: () => Promise<unknown>): Promise<boolean[]> => {
    const before = ids().length;
    await run();
    await bus.settled();
    return ids()
      .slice(before)
      .map((id) => /^[0-9a-f]{32}$/.test(id))
      .toSorted((a, b) => Number(a) - Number(b));
  };
  expect(await isDerived(() => bus.submit(orders.place, 'o1'))).toEqual([true]);
  expect(await isDerived(() => bus.request(orders.retry, 'o1'))).toEqual([true]);
  expect(await isDerived(() => bus.request(orders.check, 'o1'))).toEqual([false]);
  expect(await isDerived(() => bus.broadcast(orders.refresh, 'o1'))).toEqual([false]);
  expect(await isDerived(() => bus.publish(orders.placed, 'o1'))).toEqual([false, true]);
  expect(await isDerived(send)).toEqual([false]);
});

test('an id that the handler gives is used instead', async () => {
  const { bus, ids } = await open();
  await bus.serve(orders, {
    ...nothing,
    async place(order) {
      await bus.submit(mail.send, { to: 'ann' }, { id: `mail of ${order}` });
    },
  });
  await bus.submit(orders.place, 'o1');
  await bus.settled();
  expect(ids()).toEqual(['mail of o1']);
});

/** The option bodyDepthMax wherever a body is written or read. */
import { broadcast, defineModule, event, request, unchecked, work, type Notice } from '../../src/index';
import { inspectedBuses } from '../support/inspected-buses';

const deep = defineModule('deep', {
  ask: request(unchecked<unknown>(), unchecked<unknown>()),
  make: request(unchecked<number>(), unchecked<unknown>()),
  job: work(unchecked<unknown>()),
  call: broadcast(unchecked<unknown>()),
  told: event(unchecked<unknown>()),
});
const nested = (levels: number): unknown => Array.from({ length: levels }).reduce((inner) => [inner], 'x');
const levels = (body: unknown): number => (Array.isArray(body) ? 1 + levels(body[0]) : 0);

/** A receiver and a sender with these limits, and a record of the handled bodies. */
async function pair(receiverMax: number | undefined, senderMax: number | undefined) {
  const { clock, open, soon } = inspectedBuses();
  const receiver = await open('deep', { bodyDepthMax: receiverMax });
  const sender = await open('web', { bodyDepthMax: senderMax });
  const handled: string[] = [];
  const notices: Notice[] = [];
  receiver.watch((notice) => notices.push(notice));
  const take = (what: string) => (body: unknown) => void handled.push(`${what} ${levels(body)}`);
  await soon(
    receiver.serve(deep, { ask: (body) => nested(levels(body)), make: nested, job: take('job'), call: take('call') }),
  );
  await soon(receiver.listen(deep.told, take('told')));
  await soon(receiver.listen(deep.told, { as: 'index' }, take('index')));
  const settle = async (sends: readonly Promise<unknown>[]) => {
    const ends = sends.map((send) =>
      send.then(
        () => 'ok',
        (error: { code: string; message: string }) => error,
      ),
    );
    await clock.advance(3_000);
    return Promise.all(ends);
  };
  const sendAll = (count: number) =>
    settle([
      sender.request(deep.ask, nested(count)),
      sender.submit(deep.job, nested(count)),
      sender.broadcast(deep.call, nested(count)),
      sender.publish(deep.told, nested(count)),
    ]);
  return { handled, notices, sendAll, sender, soon };
}
const all = (count: number): string[] => ['job', 'call', 'told', 'index'].map((what) => `${what} ${count}`).toSorted();

test('100 levels are sent, received and answered by default', async () => {
  const { handled, sendAll } = await pair(undefined, undefined);
  expect(await sendAll(100)).toEqual(Array(4).fill('ok'));
  expect(handled.toSorted()).toEqual(all(100));
});

test('a body deeper than bodyDepthMax is Invalid at its sender', async () => {
  const { handled, sendAll } = await pair(undefined, 3);
  const message = expect.stringContaining('bodyDepthMax');
  const refused = expect.objectContaining({
    code: 'Invalid',
    message,
    details: expect.objectContaining({ side: 'input' }),
  });
  expect(await sendAll(4)).toEqual(Array(4).fill(refused));
  expect(await sendAll(3)).toEqual(Array(4).fill('ok'));
  expect(handled.toSorted()).toEqual(all(3));
});

test("a body deeper than the receiver's bodyDepthMax is Invalid, parked or dropped there", async () => {
  const { handled, notices, sendAll } = await pair(3, undefined);
  const message = expect.stringContaining('bodyDepthMax');
  const refused = expect.objectContaining({
    code: 'Invalid',
    message,
    details: expect.objectContaining({ side: 'input' }),
  });
  expect(await sendAll(4)).toEqual([refused, 'ok', 'ok', 'ok']);
  expect(handled).toEqual([]);
  const reasons = notices.flatMap((notice) =>
    notice.type === 'parked' || notice.type === 'dropped' ? `${notice.type} ${notice.entry}: ${notice.reason}` : [],
  );
  expect(reasons.map((reason) => reason.slice(0, reason.indexOf(':'))).toSorted()).toEqual([
    'dropped deep.call',
    'dropped deep.told',
    'parked deep.job',
    'parked deep.told',
  ]);
  for (const reason of reasons) expect(reason).toContain('bodyDepthMax');
});

test('a reply deeper than bodyDepthMax is Invalid at its sender and its caller', async () => {
  const [atCaller, atSender] = [await pair(undefined, 3), await pair(3, undefined)];
  for (const { soon, sender } of [atCaller, atSender]) {
    expect(await soon(sender.tryRequest(deep.make, 3))).toMatchObject({ ok: true });
    expect(await soon(sender.tryRequest(deep.make, 4))).toMatchObject({
      error: { code: 'Invalid', details: { side: 'reply' }, message: expect.stringContaining('bodyDepthMax') },
    });
  }
});

import { defineModule, event, request, unchecked, work } from '../../src/contract/contract';
import { testBus } from '../../src/testing';
import { heavy } from '../heavy';

const mail = defineModule('mail', {
  send: work(unchecked<{ to: string }>()),
  look: request(unchecked<string>(), unchecked<string>()),
  sent: event(unchecked<{ to: string }>()),
});
const never = new Promise<never>(() => undefined);

describe('set', () => {
  test.each([
    [
      'an entry outside every contract',
      'mail.sned.paused',
      true,
      /entry or a named listener mail\.sned; did you mean mail\.send\?/,
    ],
    ['a module outside the test', 'post.send.paused', true, /no bus of this test has .* post\.send/],
    ['an unknown option', 'mail.send.pased', true, /did you mean paused\?/],
    ['an invalid value', 'mail.send.concurrency', 0, /minimum of 1/],
    ['an option of another kind', 'mail.look.attempts', 3, /kind request: its settings are concurrency/],
    ['an entry without settings', 'mail.sent.paused', true, /kind event: it has no settings/],
    ['an option that is not live', 'drainMs', '1s', /read only when the bus is opened/],
    ['an entry of the built-in contract', 'busbar.status.paused', true, /no bus of this test has/],
  ])('rejects %s and changes nothing', async (_what, key, value, reason) => {
    const bus = testBus(mail);
    const heard: unknown[] = [];
    bus.watch((notice) => notice.type === 'setting' && heard.push(notice));
    await expect(bus.set(key, value)).rejects.toMatchObject({ code: 'Config', message: expect.stringMatching(reason) });
    expect(heard).toEqual([]);
    await bus.close();
  });

  test('accepts entries of all contracts and stubs of the test, and named listeners', async () => {
    const bus = testBus('web');
    await bus.stub(mail, {});
    await bus.set('mail.send.paused', true);
    const search = bus.as('search');
    await expect(bus.set('search.index.paused', true)).rejects.toThrow(/search\.index/);
    await search.listen(mail.sent, { as: 'index' }, () => undefined);
    await bus.set('search.index.paused', true);
    await bus.set('search.index.paused', null);
    await bus.close();
  });

  test('writes any value with unchecked, which each bus then refuses', async () => {
    const bus = testBus(mail);
    await bus.set('mail.send.concurrency', 0, { unchecked: true });
    expect(bus.health().reasons).toMatchObject([{ part: 'setting mail.send.concurrency' }]);
    await bus.set('mail.sned.paused', true, { unchecked: true });
    await bus.close();
  });
});

describe('settled', () => {
  heavy('names the handlers that are still running when it times out', async () => {
    const bus = testBus(mail);
    const ended: string[] = [];
    await bus.serve(mail, {
      send: async ({ to }) => {
        if (to === 'hangs') await never;
        ended.push(to);
      },
      look: () => never,
    });
    const { id } = await bus.submit(mail.send, { to: 'hangs' });
    await bus.submit(mail.send, { to: 'ends' });
    void bus.request(mail.look, 'x').catch(() => undefined);
    const error: unknown = await bus.settled().catch((reason: unknown) => reason);
    expect(String(error)).toMatch(/^Error: not settled within 5000 ms: the handler of /);
    expect(String(error)).toContain(`mail.send of mail#1 (${id})`);
    expect(String(error)).toMatch(/mail\.look of mail#1 \(\w+\) has not ended$/);
    expect(ended).toEqual(['ends']);
  });
});

/** Tests of the verbs that change what instances do, for both transports. */
import { rows, jsonLines, type ShopCommand, type Shop } from '../support/command';

/** Declares the tests. Each needs a shop that runs. */
export function changeStory(scene: () => { readonly k: ShopCommand; readonly seller: Shop }): void {
  test('skip parks a message that runs, its lane goes on, and the change is recorded', async () => {
    const { k, seller } = scene();
    const [hangs = '', waits = ''] = await seller.pack([
      { key: 's1', do: 'hang' },
      { key: 's1', do: 'done' },
    ]);
    await k.eventually(['why', hangs], ({ out }) => out.includes(' runs on shop#'));
    const dry = await k.run(['skip', 'shop.work', hangs, '--dry-run']);
    expect(dry.code).toBe(0);
    expect(dry.err).toMatch(
      /^1 message of shop\.work will be parked:\n {2}\S+ {2}shop\.pack of key s1 runs on shop#\w+: its /,
    );
    expect(dry.err).toContain('1 message of the same key continues.\ndry run: nothing was changed\n');
    const unasked = await k.run(['skip', 'shop.work', hangs]);
    expect(unasked).toMatchObject({ code: 64, err: expect.stringContaining('Pass --yes') });
    const skipped = await k.run(['skip', 'shop.work', hangs, '--yes', '--reason', 'too large']);
    expect(skipped.code).toBe(0);
    // The handler of the shop returns when its signal aborts, so the message counts as handled.
    expect(rows(skipped.out)).toEqual([{ ID: hangs, STATE: 'handled' }]);
    await k.eventually(['why', waits], ({ out }) => out.includes('was handled'));
    const audit = await k.run(['history', 'shop.work', '--audit', '-o', 'jsonl']);
    expect(jsonLines(audit.out)).toMatchObject([
      { verb: 'skip', about: 'shop.work', ids: [hangs], reason: 'too large', end: { count: 0, error: null } },
    ]);
    expect(rows((await k.run(['history', '--audit', '--id', hangs])).out)).toMatchObject([
      { OPERATOR: expect.stringContaining('@'), VERB: 'skip', REASON: 'too large' },
    ]);
    const wrong = await k.run(['skip', 'shop.work', waits, '--yes']);
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('`busbar why ') });
  });

  test('skip parks what waits for a paused entry, and replay with --rate sends it again', async () => {
    const { k, seller } = scene();
    expect((await k.run(['set', 'shop.pack.paused', 'true'])).code).toBe(0);
    await k.eventually(['instances', 'shop', '-o', 'jsonl'], ({ out }) => out.includes('"paused":["shop.pack"]'));
    const ids = await seller.pack([
      { key: 's2', do: 'done' },
      { key: 's2', do: 'done' },
      { key: 's3', do: 'done' },
    ]);
    await k.eventually(['peek', 'shop.work', '--key', 's3'], ({ code }) => code === 0);
    const skipped = await k.run(['skip', 'shop.work', '--all', '--key', 's2', '--yes']);
    expect(rows(skipped.out)).toEqual(ids.slice(0, 2).map((ID) => ({ ID, STATE: 'parked' })));
    const why = await k.run(['why', ids[0] ?? '']);
    expect(why.out).toMatch(
      /is parked in shop\.work since \S+ m?s, after 0 attempts: skipped by \S+@\S+: no reason given\./,
    );
    expect((await k.run(['unset', 'shop.pack.paused'])).code).toBe(0);
    const replayed = await k.run(['replay', 'shop.work', '--all', '--key', 's2', '--rate', '1/s', '--yes']);
    expect(rows(replayed.out).map(({ STATE }) => STATE)).toEqual(['replayed', 'replayed']);
    await k.eventually(['why', ids[1] ?? ''], ({ out }) => out.includes('was handled'));
    const max = await k.run(['replay', 'shop.work', '--all', '--max', '0', '--yes']);
    expect(max.code).toBe(64);
  });

  test('history lists what the log has of a queue, with the state of each message', async () => {
    const { k, seller } = scene();
    const ids = await seller.pack([
      { key: 'h', do: 'done' },
      { key: 'h', do: 'park' },
    ]);
    const both = ({ out }: { out: string }): boolean => /settled/.test(out) && /parked/.test(out);
    const found = await k.eventually(['history', 'shop.work', '--key', 'h'], both);
    expect(rows(found.out)).toMatchObject([
      { ID: ids[0], ENTRY: 'shop.pack', KEY: 'h', STATE: 'settled', BODY: '{"key":"h","do":"done"}' },
      { ID: ids[1], STATE: 'parked: address unknown' },
    ]);
    expect((await k.run(['history', 'shop.work', '--key', 'none'])).code).toBe(1);
    expect((await k.run(['history'])).code).toBe(64);
  });
}

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

  test('pause stops a queue until resume or the end of the time, and status prints the command that ends it', async () => {
    const { k, seller } = scene();
    const paused = await k.run(['pause', 'shop.work', '--yes', '--reason', 'store is down']);
    expect(paused).toMatchObject({ code: 0, err: expect.stringContaining('  busbar resume shop.work\n') });
    const [id = ''] = await seller.pack([{ key: 'p1', do: 'done' }]);
    const status = await k.eventually([], ({ out }) => out.includes('busbar resume shop.work'));
    expect(rows(status.out).find(({ WHAT }) => WHAT === 'paused')).toMatchObject({
      SEVERITY: 'warning',
      MESSAGE: expect.stringMatching(/^a pause of shop\.work stops its messages; \d+ wait in the queue$/),
    });
    const why = await k.eventually(['why', id], ({ out }) => out.includes('which is paused'));
    expect(why.err).toBe('  busbar resume shop.work\n');
    expect((await k.run(['resume', 'shop.work', '--yes'])).code).toBe(0);
    await k.eventually(['why', id], ({ out }) => out.includes('was handled'));
    const short = await k.run(['pause', 'shop.pack', '--for', '3s', '--yes']);
    expect(short.code).toBe(0);
    const [later = ''] = await seller.pack([{ key: 'p2', do: 'done' }]);
    await k.eventually(['why', later], ({ out }) => out.includes('was handled'));
    expect((await k.run(['settings', 'shop.pack'])).out).toContain('shop.pack.pausedUntil');
    const audit = jsonLines((await k.run(['history', '--audit', '-o', 'jsonl'])).out);
    expect(audit.map(({ verb, about, reason }) => [verb, about, reason])).toEqual(
      expect.arrayContaining([
        ['pause', 'shop.work', 'store is down'],
        ['resume', 'shop.work', null],
        ['pause', 'shop.pack', null],
      ]),
    );
    expect((await k.run(['pause', 'shop.wrok', '--yes'])).code).toBe(64);
    expect((await k.run(['pause', 'shop.work'])).code).toBe(64);
  });

  test('--where selects messages by an expression, which cannot reach the process and has a time limit', async () => {
    const { k, seller } = scene();
    const ids = await seller.pack([
      { key: 'x1', do: 'done' },
      { key: 'x2', do: 'park' },
    ]);
    await k.eventually(['history', 'shop.work', '--key', 'x2'], ({ out }) => out.includes('parked'));
    const where = async (expression: string) => {
      const { code, out, err } = await k.run(['history', 'shop.work', '--key', 'x2', '--where', expression]);
      return { code, err, ids: rows(out).map(({ ID }) => ID) };
    };
    expect(await where("body.do === 'park' && key === 'x2'")).toEqual({ code: 0, err: '', ids: [ids[1]] });
    expect((await where("body.do === 'done'")).code).toBe(1);
    for (const escape of [
      "typeof process === 'undefined' && typeof require === 'undefined'",
      "(() => { try { return this.constructor.constructor('return process')() } catch { return true } })() === true",
      "(() => { try { return body.constructor.constructor('return process')() } catch { return true } })() === true",
    ]) {
      expect(await where(escape)).toMatchObject({ code: 0, ids: [ids[1]] });
    }
    const endless = await where('(() => { for (;;); })()');
    expect(endless).toMatchObject({ code: 1, err: expect.stringContaining('--where failed for 1 message') });
    expect(await where('body.')).toMatchObject({
      code: 64,
      err: expect.stringContaining('is not a JavaScript expression'),
    });
    const until = await k.run(['history', 'shop.work', '--until', '1h']);
    expect(until.code).toBe(1);
    expect((await k.run(['parked', 'shop.work', '--each', '--where', 'key === "x2"'])).out).toContain(ids[1]);
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

  test('skip parks a message of a queue without an instance, and the next instance handles the others', async () => {
    const { k, seller } = scene();
    await seller.end();
    const submit = async (key: string): Promise<string> => {
      const body = JSON.stringify({ key, do: 'done' });
      const sent = await k.run(['submit', 'shop.pack', body, '--unchecked', '--key', key, '--queue', 'work', '--json']);
      return String((JSON.parse(sent.out) as { id: string }).id);
    };
    const [first, second] = [await submit('n1'), await submit('n1')];
    await k.eventually(['why', first], ({ out }) => out.includes('no instance of shop handles the queue'));
    const skipped = await k.run(['skip', 'shop.work', first, '--yes']);
    expect(rows(skipped.out)).toEqual([{ ID: first, STATE: 'parked' }]);
    await k.shop();
    await k.eventually(['why', second], ({ out }) => out.includes('was handled'));
    expect((await k.run(['why', first])).out).toContain(' is parked in shop.work since ');
  });
}

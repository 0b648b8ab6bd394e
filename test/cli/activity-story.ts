/** Tests of the verbs that show what instances do, for both transports. */
import { rows, jsonLines, type ShopCommand, type Shop } from '../support/command';

/** Declares the tests. Each needs a shop that runs. */
export function activityStory(scene: () => { readonly k: ShopCommand; readonly seller: Shop }): void {
  test('running lists handlers with their instance, attempt, duration and note', async () => {
    const { k, seller } = scene();
    const [id = ''] = await seller.pack([{ key: 'r1', do: 'hang' }]);
    const found = await k.eventually(['running', 'shop.pack'], ({ out }) => rows(out).some(({ ID }) => ID === id));
    expect(rows(found.out).find(({ ID }) => ID === id)).toMatchObject({
      ENTRY: 'shop.pack',
      ON: expect.stringMatching(/^shop#\w+$/),
      TRY: '1/2',
      FOR: expect.stringMatching(/^(?:\d+ms|\d+s|\d+m(?:\d+s)?)$/),
      KEY: 'r1',
      DOING: 'packing',
      DEADLINE: '–',
    });
    expect(found.code).toBe(0);
    const json = await k.run(['running', 'shop', '-o', 'jsonl', '--older', '1ms']);
    expect(jsonLines(json.out)).toContainEqual(expect.objectContaining({ id, queue: 'shop.work', attemptsMax: 2 }));
    const none = await k.run(['running', '--older', '10h']);
    expect(none).toMatchObject({ code: 1, err: 'no handler has been running for 10h\n' });
    const wrong = await k.run(['running', 'shop.pakc']);
    expect(wrong.code).toBe(64);
    expect(wrong.err).toMatch(/there is no module, queue, entry or instance shop\.pakc; the nearest .*shop\.pack/);
  });

  test('pending lists the requests without a reply, and what each waits for', async () => {
    const { k, seller } = scene();
    for (let n = 0; n < 2; n++) seller.child.send('ask');
    const asked = await k.eventually(['pending'], ({ out }) => rows(out).length === 2);
    expect(rows(asked.out)[0]).toMatchObject({
      REQUEST: 'shop.slow',
      FROM: expect.stringMatching(/^shop#\w+$/),
      TO: expect.stringMatching(/^shop#\w+$/),
      UNTIL: expect.stringMatching(/^in \d+s$/),
      IT: expect.stringMatching(/^runs there for (?:\d+ms|\d+s|\d+m(?:\d+s)?)$/),
    });
    expect((await k.run(['set', 'shop.slow.concurrency', '2'])).code).toBe(0);
    const limited = ({ out }: { out: string }): boolean => out.includes('(concurrency 2)');
    await k.eventually(['settings'], ({ out }) => out.includes('shop.slow.concurrency'));
    seller.child.send('ask');
    const behind = await k.eventually(['pending', 'shop', '--older', '1ms'], limited);
    const list = rows(behind.out);
    expect(list).toHaveLength(3);
    expect(list[2]?.['IT']).toBe(`waits there, behind ${list[0]?.['ID']} (concurrency 2)`);
    expect((await k.run(['unset', 'shop.slow.concurrency'])).code).toBe(0);
    expect((await k.run(['pending', '--older', '10h'])).code).toBe(1);
  });

  test('why prints what a message waits for, what failed, and what became of it', async () => {
    const { k, seller } = scene();
    const ids = await seller.pack([
      { key: 'w', do: 'hang' },
      { key: 'w', do: 'done' },
      { key: 'v', do: 'done' },
      { key: 'u', do: 'fail' },
    ]);
    const [hangs = '', waits = '', done = '', fails = ''] = ids;
    const runs = await k.eventually(['why', hangs], ({ out }) => out.includes(' runs on shop#'));
    expect(runs.out).toMatch(
      /^shop\.pack \w+ runs on shop#\w+ for \S+ m?s, attempt 1 of 2: packing\. 1 message of key w waits behind it\.$/m,
    );
    expect(runs.err).toBe(`  busbar skip shop.work ${hangs}\n`);
    const behind = await k.run(['why', waits, '-o', 'table'], { env: { COLUMNS: '200' } });
    expect(behind.out).toMatch(
      new RegExp(
        `^shop\\.pack ${waits} waits in shop\\.work behind ${hangs} of the same key w: it runs on shop#\\w+ for `,
      ),
    );
    expect(behind.out).toMatch(/^ {2}\d\d:\d\d:\d\d\.\d{3} {2}sent +by shop#\w+$/m);
    const settled = await k.eventually(['why', done], ({ out }) => out.includes('handled'));
    expect(settled.out).toMatch(/ was handled \S+ m?s ago by shop#\w+ in shop\.work, in /);
    const parked = await k.eventually(['why', fails, '--json'], ({ out }) => out.includes('is parked'));
    const story = JSON.parse(parked.out) as { sentence: string; next: string[]; steps: { what: string }[] };
    expect(story.sentence).toMatch(/after 2 attempts: attempt 2 of 2 failed: connect ECONNREFUSED store:443\.$/);
    expect(story.next).toEqual([`busbar replay shop.work ${fails}`]);
    expect(story.steps.map(({ what }) => what)).toEqual(['sent', 'in the log', 'attempt 1', 'attempt 2', 'parked']);
    const unknown = await k.run(['why', '01zzzzzzzz']);
    expect(unknown).toMatchObject({ code: 1, out: expect.stringContaining('is in no log') });
    const tree = await k.run(['why', waits, '--tree']);
    expect(tree.out).toMatch(
      new RegExp(`^shop\\.pack {2}${waits} {2}\\d\\d:\\d\\d:\\d\\d {2}shop\\.work: waiting$`, 'm'),
    );
  });

  test('the help of each verb has examples', async () => {
    const { k } = scene();
    for (const verb of ['running', 'pending', 'why']) {
      const { code, out } = await k.run([verb, '--help']);
      expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining(`Examples:\n  busbar ${verb}`) });
    }
  });
}

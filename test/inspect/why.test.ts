import type { Handlers } from '../../src/delivery/handler';
import { choose, dropChosen } from '../../src/inspect/repair';
import { UnknownName } from '../../src/inspect/types';
import type { Bus } from '../../src/bus/types';
import { inspectedBuses, photos } from '../support/inspected-buses';

const never = (): Promise<never> => new Promise(() => {});
const handlers = (more: Partial<Handlers<typeof photos>> = {}): Handlers<typeof photos> => ({
  add: ({ name }) => name,
  resize: () => {},
  rotate: () => {},
  ...more,
});

/** Buses of a module `photos` and of a caller, and an inspector that finds the biography of a message. */
async function scene(more: Partial<Handlers<typeof photos>> = {}) {
  const buses = inspectedBuses();
  const bus = await buses.open('photos');
  await bus.serve(photos, handlers(more), { concurrency: { add: 1 } });
  const web = await buses.open('web');
  const look = await buses.inspector();
  const why = async (id: string) => buses.soon(look.why(id));
  const submit = async (key: string, n = 0): Promise<string> => (await web.submit(photos.resize, { n, key })).id;
  return { ...buses, bus, web, look, why, submit };
}
const textOf = (steps: readonly { what: string; text: string }[]): string =>
  steps.map(({ what, text }) => `${what}: ${text}`).join('\n');

describe('why', () => {
  test('shows a running message, and how many messages of its key wait behind it', async () => {
    const { why, submit, clock } = await scene({
      resize: (_job, { progress }) => {
        progress('at 50 %');
        return never();
      },
    });
    const [first] = [await submit('a'), await submit('a'), await submit('b')];
    await clock.advance(60_000);
    const { sentence, steps, next, entry } = await why(first);
    expect(entry).toBe('photos.resize');
    expect(sentence).toMatch(
      /^photos\.resize \w+ runs on photos#1 for 1 min, attempt 1 of 2: at 50 %\. 1 message of key a waits behind it\.$/,
    );
    expect(textOf(steps)).toMatch(
      /^sent: by web#1\nin the log: t\.photos\.work\/\d+ at 0\nattempt 1: of 2, runs on photos#1: at 50 %\nit holds: 1 message of key a in photos\.work; other keys go on$/,
    );
    expect(next).toEqual([`busbar skip photos.work ${first}`]);
  });

  test('shows the message of its key that a message waits for, on which instance and for how long', async () => {
    const { why, submit, clock } = await scene({ resize: never });
    const ids = [await submit('a'), await submit('a'), await submit('a')];
    await clock.advance(60_000);
    const { sentence, next } = await why(ids[2] ?? '');
    expect(sentence).toBe(
      `photos.resize ${ids[2]} waits in photos.work behind ${ids[0]} and 1 message more of the same key a: ` +
        'it runs on photos#1 for 1 min, attempt 1 of 2.',
    );
    expect(next).toEqual([`busbar why ${ids[0]}`, `busbar skip photos.work ${ids[0]}`]);
  });

  test('shows the failed attempts with the causes of their errors, and when the next attempt is due', async () => {
    const refused = new Error('connect ECONNREFUSED 10.0.0.7:9000');
    const { why, submit, clock } = await scene({
      resize: ({ n }) => {
        throw n === 1 ? new AggregateError([refused, new Error('no route')], 'all stores failed') : causedBy(refused);
      },
    });
    const ids = [await submit('a'), await submit('b', 1)];
    await clock.advance(5_000);
    const chain = await why(ids[0] ?? '');
    expect(chain.sentence).toMatch(
      /failed 1 of 2 attempts, the last with "store\.save failed; cause: connect ECONNREFUSED 10\.0\.0\.7:9000"; its next attempt on photos#1 is due in \d+/,
    );
    expect(textOf(chain.steps)).toContain(
      'attempt 1: failed on photos#1: store.save failed; cause: connect ECONNREFUSED 10.0.0.7:9000\n',
    );
    expect(textOf(chain.steps)).toMatch(/next: attempt 2 of 2 on photos#1, due in /);
    const several = await why(ids[1] ?? '');
    expect(several.sentence).toContain('all stores failed; cause: connect ECONNREFUSED 10.0.0.7:9000; cause: no route');
  });

  test('shows a parked message with its reason, and the command that replays it', async () => {
    const { why, submit, clock } = await scene({ resize: (_job, { park }) => park('address unknown') });
    const id = await submit('a');
    await clock.advance(60_000);
    const { sentence, next, steps } = await why(id);
    expect(sentence).toMatch(/is parked in photos\.work since 1 min, after 1 attempt: address unknown\.$/);
    expect(next).toEqual([`busbar replay photos.work ${id}`]);
    expect(textOf(steps)).toContain('parked: in photos.work by photos#1: address unknown');
  });

  test('shows which instance handled a settled message, and what it caused', async () => {
    const publishing: { bus?: Bus } = {};
    const { why, submit, clock, bus, look, soon } = await scene({
      resize: async (job) => void (await publishing.bus?.publish(photos.added, job)),
    });
    publishing.bus = bus;
    const id = await submit('a');
    await clock.advance(60_000);
    const { sentence, steps, facts } = await why(id);
    expect(sentence).toMatch(/ was handled 1 min ago by photos#1 in photos\.work, in \d+ ms\.$/);
    expect(facts.children).toMatchObject([{ entry: 'photos.added', cause: id, from: 'photos#1' }]);
    expect(textOf(steps)).toContain(`it caused: photos.added ${facts.children[0]?.id}, sent by photos#1`);
    const child = facts.children[0]?.id ?? '';
    const expected = {
      id,
      entry: 'photos.resize',
      state: 'photos.work: settled',
      left: 0,
      children: [{ id: child, entry: 'photos.added', state: 'received by no queue', children: [] }],
    };
    expect(await soon(look.tree(child))).toMatchObject(expected);
    expect(await soon(look.tree(id))).toMatchObject(expected);
  });

  test('shows a request while it runs and waits, and its end afterwards', async () => {
    const started: (() => void)[] = [];
    const { why, web, clock, look, soon } = await scene({
      add: () => new Promise<string>((resolve) => started.push(() => resolve('done'))),
    });
    const asked = ['x', 'y'].map((name) => web.request(photos.add, { name }, { timeoutMs: 60_000 }));
    await clock.advance(1_000);
    const [first, second] = (await soon(look.pending())).items;
    expect((await why(first?.id ?? '')).sentence).toMatch(
      /^photos\.add \w+ is a request of web#1 that runs on photos#1 for 1\.?\d* s; its caller waits for 5\d/,
    );
    const waits = await why(second?.id ?? '');
    expect(waits.sentence).toMatch(/is a request of web#1 that waits on photos#1 for a handler \(concurrency 1\)\.$/);
    expect(waits.next).toEqual(['busbar running photos.add']);
    for (let n = 0; n < 2; n++) {
      started[n]?.();
      await clock.advance(100);
    }
    await soon(Promise.all(asked));
    const ended = await why(first?.id ?? '');
    expect(ended.sentence).toMatch(
      /was a request of web#1 to photos#1; it ended \S+ m?s ago with ok after 1\.?\d* s\.$/,
    );
    expect(textOf(ended.steps)).toMatch(
      /answered: by photos#1 to \S+: ok, in .*\nreply: received by web#1 from photos#1: ok/,
    );
  });

  test('reports the repair of a dropped message whose record has left the log', async () => {
    const { why, submit, clock, look, soon } = await scene({ resize: (_job, { park }) => park('bad') });
    const id = await submit('a');
    await clock.advance(1_000);
    const chosen = await soon(choose(look.parts, 'photos.work', { ids: [id] }));
    const { signal } = new AbortController();
    await soon(dropChosen(look.parts, chosen, { signal, reason: 'customer left' }));
    const [place] = chosen.messages;
    const [topic, partition, offset] = place?.origin ?? ['', 0, 0];
    await look.parts.log.trim(topic, partition, offset + 1);
    await clock.advance(60_000);
    const { sentence, entry } = await why(id);
    expect(entry).toBe('photos.resize');
    expect(sentence).toMatch(
      /was parked in photos\.work, then dropped 1 min ago by console#\d+, reason: customer left\.$/,
    );
  });

  test('reports for an unknown id when it was made, and which messages are never stored', async () => {
    const { why, submit, clock } = await scene();
    const id = await submit('a');
    const unknown = `${id.slice(0, 10)}zzzzzzzzzzzzzzzz`;
    await clock.advance(3_600_000);
    const { sentence, entry, next } = await why(unknown);
    expect(entry).toBe('');
    expect(sentence).toContain('is in no log and in the memory of no instance. Its id was made 1 h ago. ');
    expect(sentence).toContain('Requests and broadcasts are not stored');
    expect(next[0]).toBe(`busbar history --audit --id ${unknown}`);
  });

  test('names the missing instance, and a pause', async () => {
    const { why, submit, clock, bus, open, ports } = await scene();
    await bus.close();
    const id = await submit('a');
    expect((await why(id)).sentence).toContain('waits in photos.work: no instance of photos handles the queue.');
    await ports('tool').settings.set('photos.resize.paused', 'true', 0);
    await (await open('photos')).serve(photos, handlers());
    await clock.advance(30_000);
    const paused = await why(id);
    expect(paused.sentence).toContain('waits in photos.work, which is paused.');
    expect(paused.next).toEqual(['busbar resume photos.work']);
  });

  test('rejects the beginning of several ids, and lists them', async () => {
    const { why, submit } = await scene({ resize: never });
    const ids = [await submit('a'), await submit('b')];
    const error: unknown = await why(ids[0]?.slice(0, 8) ?? '').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnknownName);
    expect(String(error)).toContain(`2 ids begin with it.\n  busbar why ${ids[0]}\n  busbar why ${ids[1]}`);
    expect((await why(ids[0] ?? '')).id).toBe(ids[0]);
  });
});

function causedBy(cause: Error): Error {
  return new Error('store.save failed', { cause });
}

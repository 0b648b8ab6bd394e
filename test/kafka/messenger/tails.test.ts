import { deferred } from '../../../src/base/lifecycle';
import { Tails } from '../../../src/kafka/messenger/tails';
import { virtualClock } from '../../../src/memory/clock';
import { OutOfRangeError, type Stored, type Tail } from '../../../src/ports/log';

const record: Stored = { partition: 0, offset: 0, timeMs: 0, key: null, value: null, headers: {} };

/** A tail that returns these results of reads, and then none until it is closed. */
function tailOf(...results: (readonly Stored[] | Error)[]) {
  const tail = { reads: 0, closed: false };
  const ended = deferred<readonly Stored[]>();
  const opened: Tail = {
    read(): Promise<readonly Stored[]> {
      const result = results[tail.reads++];
      if (result instanceof Error) return Promise.reject(result);
      return result === undefined ? ended.promise : Promise.resolve(result);
    },
    async close() {
      tail.closed = true;
      ended.resolve([]);
    },
    [Symbol.asyncDispose]: () => opened.close(),
  };
  return { tail, opened };
}
function tails(isClosing = false) {
  const clock = virtualClock();
  const events: string[] = [];
  const opened = new Tails({
    clock,
    states: {
      works: (part) => void events.push(`works ${part}`),
      fails: (part, reason) => void events.push(`fails ${part}: ${reason}`),
    },
    dropped: (what, reason) => void events.push(`dropped ${what}: ${reason}`),
    isClosing: () => isClosing,
  });
  return { clock, events, opened };
}

describe('the tails of a messenger', () => {
  it('pass on all records, and read again 200 ms after a failure', async () => {
    const { clock, events, opened } = tails();
    const one = tailOf([record], new Error('cut'), [record, record]);
    const taken: number[] = [];
    opened.add('t', one.opened, (records) => void taken.push(records.length));
    await clock.advance(199);
    expect([taken, events]).toEqual([[1], ['works tail of t', 'fails tail of t: packets in t are not received: cut']]);
    await clock.advance(1);
    expect([taken, events.at(-1)]).toEqual([[1, 2], 'works tail of t']);
    await opened.close();
    expect(one.tail.closed).toBe(true);
  });

  it('report deleted packets, and continue at once', async () => {
    const { clock, events, opened } = tails();
    const one = tailOf(new OutOfRangeError('t', 0, 3, 9), [record]);
    const taken: number[] = [];
    opened.add('t', one.opened, (records) => void taken.push(records.length));
    await clock.advance(0);
    expect(taken).toEqual([1]);
    expect(events).toEqual([expect.stringMatching(/^dropped packets: /), 'works tail of t']);
    await opened.close();
  });

  it('end at a failed read when the messenger closes', async () => {
    const { clock, events, opened } = tails(true);
    const one = tailOf(new Error('cut'));
    opened.add('t', one.opened, () => undefined);
    await clock.advance(1_000);
    expect([one.tail.reads, events]).toEqual([1, []]);
    await opened.close();
  });

  it('close each alone, or all together', async () => {
    const { opened } = tails();
    const [one, two] = [tailOf(), tailOf()];
    const first = opened.add('t', one.opened, () => undefined);
    opened.add('u', two.opened, () => undefined);
    await first.close();
    expect([one.tail.closed, two.tail.closed]).toEqual([true, false]);
    await opened.close();
    expect(two.tail.closed).toBe(true);
  });
});

import type { Line } from './faultcontract';
import { reportOf } from './faultreport';

/** Parses lines of the form `process atMs words`. */
const linesOf = (text: string): readonly Line[] =>
  text
    .trim()
    .split('\n')
    .map((line) => {
      const [process = '', atMs, ...words] = line.trim().split(' ');
      return { process, atMs: Number(atMs), words };
    });
const marks = { faultMs: 1_000, wholeMs: 20_000, deaths: new Map([['w3', 25_000]]), stops: new Map([['w4', 25_000]]) };
const report = (text: string) => reportOf(linesOf(text), marks);

describe('the report of a fault scene', () => {
  it('counts jobs waiting 10 s as late, and those of an idle key as unread', () => {
    const { late, unread, unhandled, longestWaitMs } = report(`
      s1 5000 accepted a 1
      s1 5001 accepted a 2
      s1 26000 accepted a 3
      s1 26001 accepted b 1
      w1 30000 begin a 1 1
      w1 30005 end a 1
      w1 30006 begin a 2 1
      w1 30011 end a 2
      w1 37000 begin a 3 1
      w1 37005 end a 3`);
    expect({ late, unread, unhandled, longestWaitMs }).toEqual({
      late: ['a/2', 'a/3', 'b/1'],
      unread: ['b/1'],
      unhandled: ['b/1'],
      longestWaitMs: 11_000,
    });
  });

  it('distinguishes repeats by the same process, another one, and after a death or a stop', () => {
    const { repeatedBySame, repeatedByOther, repeatedAfterDeath, repeatedAfterStop, ...rest } = report(`
      w1 100 begin a 1 1
      w1 105 end a 1
      w1 9000 begin a 1 1
      w1 200 begin b 1 1
      w1 205 end b 1
      w2 9000 begin b 1 1
      w3 300 begin c 1 1
      w3 305 end c 1
      w2 26000 begin c 1 1
      w3 24000 begin d 1 1
      w2 26000 begin d 1 2
      w4 24000 begin e 1 1
      w4 24600 end e 1
      w2 26000 begin e 1 1
      w2 26005 end e 1
      w4 27000 begin f 1 1
      w4 27005 end f 1
      w2 28000 begin f 1 1
      w4 24999 begin g 1 1
      w4 30000 end g 1
      w2 30500 begin g 1 1`);
    const all = [repeatedBySame, repeatedByOther, repeatedAfterDeath, repeatedAfterStop];
    expect(all.map((texts) => texts.map((one) => one.slice(0, 3)))).toEqual([
      ['a/1'],
      ['b/1', 'f/1'],
      ['c/1'],
      ['e/1', 'g/1'],
    ]);
    expect(rest).toMatchObject({ begunAgain: 1, oldestRepeatMs: 24_695 });
  });

  it('finds jobs of one key that overtake each other, and ignores repeats', () => {
    const { orderBroken } = report(`
      w1 100 begin a 1 1
      w1 105 end a 1
      w1 106 begin a 2 1
      w1 111 end a 2
      w2 150 begin a 1 1
      w2 155 end a 1
      w2 156 begin a 4 1
      w2 161 end a 4
      w2 162 begin a 3 1
      w1 100 begin b 1 1
      w1 103 begin b 2 1
      w1 105 end b 1`);
    expect(orderBroken).toEqual(['a/3 began after a/4', 'b/2 began 2 ms before b/1 ended']);
  });

  it('takes the order of the ledger for jobs that begin in one millisecond', () => {
    const { orderBroken } = report(`
      s1 100 accepted a 2
      s1 101 accepted a 1
      w1 200 begin a 1 1
      w1 200 end a 1
      w1 200 begin a 2 1
      w1 201 end a 2`);
    expect(orderBroken).toEqual([]);
  });

  it('lists final bad states, requests that failed after the recovery, and repeated broadcasts', () => {
    const { badStates, requests, lateRequests, broadcastsRepeated, refused } = report(`
      w1 100 state reading ns.ledger.work bad it has no leader
      w1 200 state kafka bad no broker answers
      w1 300 state kafka ok the brokers respond again
      s1 400 asked ok 3
      s1 29000 asked Timeout 5000
      s1 39000 asked Timeout 5000
      w1 500 heard s1 7
      w1 501 heard s1 7
      s1 600 refused k 1 Overloaded`);
    expect(badStates).toEqual(['w1 reading ns.ledger.work: it has no leader']);
    expect(requests).toEqual({ ok: 1, Timeout: 2 });
    expect(lateRequests).toEqual(['Timeout after 5000 ms']);
    expect([broadcastsRepeated, refused]).toEqual([1, { Overloaded: 1 }]);
  });
});

import { PendingSends } from '../../src/bus/pending-sends';

/** Resolves when the microtasks of this turn have run. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function open() {
  const sends = new PendingSends();
  const ended: string[] = [];
  const flush = (name: string): void => void sends.ended().then(() => ended.push(name));
  return { sends, ended, flush };
}

test('without an open call, flush resolves immediately', async () => {
  const { sends, ended, flush } = open();
  flush('first');
  sends.begin().end();
  flush('second');
  await turn();
  expect(ended).toEqual(['first', 'second']);
});

test('flush waits for the calls before it, and for no later one', async () => {
  const { sends, ended, flush } = open();
  const before = [sends.begin(), sends.begin()];
  flush('first');
  const later = sends.begin();
  before[1]?.end();
  await turn();
  expect(ended).toEqual([]);
  before[0]?.end();
  await turn();
  expect(ended).toEqual(['first']);
  later.end();
});

test('each flush also waits for the calls before an earlier flush', async () => {
  const { sends, ended, flush } = open();
  const first = sends.begin();
  flush('first');
  const second = sends.begin();
  flush('second');
  flush('third');
  second.end();
  await turn();
  expect(ended).toEqual([]);
  first.end();
  await turn();
  expect(ended.toSorted()).toEqual(['first', 'second', 'third']);
});

test('flush waits for an open call although all calls before it have ended', async () => {
  const { sends, ended, flush } = open();
  sends.begin().end();
  const call = sends.begin();
  flush('first');
  await turn();
  expect(ended).toEqual([]);
  call.end();
  await turn();
  expect(ended).toEqual(['first']);
});

/** Each checker reports the violation that it checks for, and nothing else. */
import { virtualClock } from '../../src/memory';
import type { Commit, OwnedPartition, Stored } from '../../src/ports/log';
import { encodeBody } from '../../src/format/codec';
import { emptyState, encodeState } from '../../src/work/progress/commit-state';
import { bodyOf } from './contracts';
import { HearCheck } from './hearing';
import { Ledger, type Message } from './ledger';
import type { Promised } from './promises';
import { QueueCheck } from './queue';
import { RequestCheck, type Ask } from './requests';
import type { Tenure } from './shelf';

class Someone {
  dead = false;
  expired = false;
  leaving = false;
  cannotCommit = false;
  constructor(readonly name: string) {}
  expiredSince(): boolean {
    return this.expired;
  }
  stoodStillSince(): boolean {
    return false;
  }
}

function start() {
  const clock = virtualClock();
  const ledger = new Ledger(clock);
  const script = { tookMs: 0, fails: 0, parks: false, tells: 0, passes: 0 };
  const send = (key: string | null = 'k', entry = 'jobs.ordered', sender = 'web'): Message =>
    ledger.send(entry, key, sender, script);
  const found = (): Promised[] => ledger.broken.map(({ promise }) => promise);
  return { clock, ledger, send, found };
}

describe('the queue check', () => {
  function open() {
    const all = start();
    const entries = new Map([
      ['jobs.ordered', { retry: 'in-order', attempts: 3 }],
      ['jobs.aside', { retry: 'aside', attempts: 3 }],
    ] as const);
    const check = new QueueCheck(all.ledger, {
      group: 'g',
      queue: 'q',
      entries,
      handoverMs: 100,
      unkeptMsMax: 2_000,
      owes: () => true,
    });
    const commitOf = (offset: number, ...ranges: { from: number; to: number }[]): Commit => {
      const seen = Math.max(offset, ...ranges.map(({ to }) => to));
      return { offset, state: encodeState(offset, { ...emptyState(offset), seen, ranges }, 1_000) };
    };
    const take = (who: Someone, epoch: number, committed: Commit | null = null): Tenure => {
      const never = new AbortController().signal;
      const owned: OwnedPartition = {
        partition: 0,
        epoch,
        committed,
        lost: never,
        check: () => undefined,
        read: () => Promise.reject(new Error('nothing reads here')),
        commit: () => Promise.resolve(),
        cannotServe: () => undefined,
      };
      return check.took(who, owned);
    };
    const read = (tenure: Tenure, ...messages: Message[]): void => {
      const records = messages.map(({ n, key }, offset): Stored => ({
        partition: 0,
        offset,
        key: null,
        value: encodeBody(bodyOf(n, key ?? ''), 1_000),
        headers: {},
        timeMs: 0,
      }));
      check.read(tenure, records);
    };
    const handle = (who: Someone, message: Message, attempt = 1, ok = true): void => {
      const handling = check.starts(who, message, attempt);
      if (handling) check.ends(handling, ok);
    };
    return { ...all, check, commitOf, take, read, handle, a: new Someone('a'), b: new Someone('b') };
  }

  it('reports nothing when all promises are kept', () => {
    const { check, commitOf, take, read, handle, send, found, a, b } = open();
    const [one, two] = [send(), send()];
    for (const message of [one, two]) check.accepted(message);
    const first = take(a, 1);
    read(first, one, two);
    handle(a, one, 1, false);
    handle(a, one, 2);
    check.committed(first, check.commit(first, commitOf(1)));
    check.gives(first);
    check.ended(first, 'given');
    take(b, 2, commitOf(1));
    handle(b, two);
    check.end();
    expect(found()).toEqual([]);
  });

  it('reports an accepted message that was never handled', () => {
    const { check, send, found } = open();
    check.accepted(send());
    check.end();
    expect(found()).toEqual(['lost']);
  });

  it('reports two owners of a partition, unless the first may not know of its loss', () => {
    const { take, found, a, b } = open();
    take(a, 1);
    a.expired = true;
    take(b, 2);
    expect(found()).toEqual([]);
    take(new Someone('c'), 3);
    expect(found()).toEqual(['owner']);
  });

  it('reports a commit that covers an unsettled message', () => {
    const { check, commitOf, take, read, handle, send, found, a } = open();
    const [one, two, three] = [send('x'), send('y'), send('z')];
    const tenure = take(a, 1);
    read(tenure, one, two, three);
    handle(a, two);
    check.commit(tenure, commitOf(0, { from: 1, to: 2 }));
    expect(found()).toEqual([]);
    check.commit(tenure, commitOf(2));
    check.commit(tenure, commitOf(0, { from: 1, to: 3 }));
    expect(found()).toEqual(['commit', 'commit']);
  });

  it('reports a message handled again after it was settled or committed', () => {
    const { check, commitOf, take, read, handle, send, found, a, b } = open();
    const one = send();
    const tenure = take(a, 1);
    read(tenure, one);
    handle(a, one);
    handle(a, one);
    expect(found()).toEqual(['twice']);
    check.committed(tenure, check.commit(tenure, commitOf(1)));
    a.dead = true;
    take(b, 2, commitOf(1));
    handle(b, one);
    expect(found()).toEqual(['twice', 'twice']);
  });

  it('reports a message started before an earlier one of its lane is settled', () => {
    const { take, read, handle, send, found, a } = open();
    const [one, two] = [send(), send()];
    read(take(a, 1), one, two);
    handle(a, one, 1, false);
    handle(a, two);
    expect(found()).toEqual(['lane']);
  });

  it('reports a message that passes one set aside only before its first attempt', () => {
    const { take, read, handle, send, found, a } = open();
    const [one, two, three, four] = [send('k', 'jobs.aside'), send(), send('k', 'jobs.aside'), send()];
    read(take(a, 1), one, two, three, four);
    handle(a, one, 1, false);
    handle(a, two);
    expect(found()).toEqual([]);
    handle(a, four);
    expect(found()).toEqual(['lane']);
  });

  it('reports two running messages of one key', () => {
    const { check, take, read, send, found, a } = open();
    const [one, two] = [send('k', 'jobs.aside'), send('k', 'jobs.aside')];
    read(take(a, 1), one, two);
    check.starts(a, one, 1);
    check.starts(a, two, 1);
    expect(found()).toEqual(['keys']);
  });

  it('reports an attempt number that is too high', () => {
    const { take, read, handle, send, found, a } = open();
    const one = send();
    read(take(a, 1), one);
    handle(a, one, 2, false);
    expect(found()).toEqual(['attempt']);
  });
});

describe('the request check', () => {
  function open(idempotent = false) {
    const all = start();
    const check = new RequestCheck(all.ledger);
    const caller = new Someone('web');
    const message = all.send(null, 'jobs.ask');
    const deadlineMs = all.clock.now() + 100;
    const ask: Ask = check.asks(message, caller, { deadlineMs, idempotent, calm: false });
    return { ...all, check, message, ask, deadlineMs, a: new Someone('a'), b: new Someone('b') };
  }

  it('reports nothing for a request answered once and in time', () => {
    const { check, message, ask, deadlineMs, found, a } = open();
    check.starts(a, message, deadlineMs);
    check.ends(message, 'ok');
    check.settles(ask, 'ok', bodyOf(message.n, ''));
    check.end();
    expect(found()).toEqual([]);
  });

  it('reports a second start by one instance, or elsewhere unless idempotent', () => {
    const { check, message, deadlineMs, found, a, b } = open();
    check.starts(a, message, deadlineMs);
    check.starts(a, message, deadlineMs);
    check.starts(b, message, deadlineMs);
    expect(found()).toEqual(['started', 'started']);
    const other = open(true);
    other.check.starts(a, other.message, other.deadlineMs);
    other.check.starts(b, other.message, other.deadlineMs);
    expect(other.found()).toEqual([]);
  });

  it('reports requests that start or end late, end twice, or never end', async () => {
    const { clock, check, message, ask, deadlineMs, found, a } = open();
    check.end();
    expect(found()).toEqual(['request']);
    await clock.advance(150);
    check.starts(a, message, deadlineMs);
    check.settles(ask, 'Timeout');
    check.settles(ask, 'Timeout');
    expect(found()).toEqual(['request', 'started', 'request', 'request', 'request']);
  });

  it('reports an outcome that no handler produced', () => {
    const { check, message, ask, found } = open();
    check.settles(ask, 'Refused', bodyOf(message.n, ''));
    expect(found()).toEqual(['request']);
  });
});

describe('the broadcast check', () => {
  function open() {
    const all = start();
    const check = new HearCheck(all.ledger, 'broadcast');
    const a = new Someone('a');
    check.listens(a, 'jobs.shout');
    const shout = (): Message => all.send(null, 'jobs.shout');
    return { ...all, check, a, shout };
  }

  it('reports nothing when running instances receive all messages in order', () => {
    const { check, found, shout, a } = open();
    const [one, two] = [shout(), shout()];
    for (const message of [one, two]) check.accepted(message);
    check.starts(a, one)();
    a.leaving = true;
    check.end();
    expect(found()).toEqual([]);
  });

  it('reports a message received twice, out of order, concurrently, or not at all', () => {
    const { check, found, shout, a } = open();
    const [one, two, three] = [shout(), shout(), shout()];
    check.starts(a, two)();
    check.starts(a, two)();
    const ends = check.starts(a, one);
    check.starts(a, three);
    ends();
    expect(found()).toEqual(['broadcast', 'broadcast', 'broadcast']);
    check.accepted(shout());
    check.end();
    expect(found()).toHaveLength(4);
  });
});

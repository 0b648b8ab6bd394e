/** No misbehaving server can make a call hang or a process crash, and closing is fast on all of them. */
import type { Clock } from '../../../src/base/clock';
import { isBusError } from '../../../src/base/errors';
import { openNotices } from '../../../src/base/notices';
import { openSession } from '../../../src/zookeeper/session/session';
import { livedMs, openLivedClock, quickest } from '../../elapsed';
import {
  answerEmpty,
  type Fake,
  grant,
  greeting,
  type ServerBehavior,
  reply,
  startFake,
} from '../../support/fake-zookeeper';
import {
  beginToOpen,
  cleanUp,
  isRestoring,
  instance,
  later,
  open as openAtOnce,
  startChild,
  until,
} from '../../support/zookeeper-sessions';

let clock: Clock;
beforeEach(() => {
  const lived = openLivedClock(); // time-outs are short here, and must measure only the servers
  clock = lived.clock;
  later(lived.close);
});
afterEach(cleanUp);

const sessionMs = 900;
const open = (given: { connect: string; ns: string; sessionMs: number }) => openAtOnce({ clock, ...given });

/** The error that opening rejects with, and the time that it took. */
async function opening(connect: string): Promise<{ readonly error: unknown; readonly tookMs: number }> {
  const opened = beginToOpen({ connect, ns: 'test', sessionMs, clock }).opening.then(
    () => 'opened',
    (thrown: unknown) => thrown,
  );
  const tookMs = await livedMs(opened);
  return { error: await opened, tookMs };
}
const unreachable = (reason: RegExp) =>
  expect.objectContaining({ code: 'Unreachable', message: expect.stringMatching(reason) });

describe('opening', () => {
  const refusals: [string, ServerBehavior, RegExp][] = [
    ['accepts and never answers', { greet: () => undefined }, /no session within 300 ms/],
    ['closes the connection at once', { greet: (socket) => socket.destroy() }, /before the session began|ECONNRESET/],
    [
      'speaks HTTP',
      { greet: (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n') },
      /its response cannot be decoded: a frame of 1213486160 bytes: the server is not ZooKeeper/,
    ],
    ['greets with nonsense', { greet: (socket) => socket.write(Buffer.from([0, 0, 0, 2, 7, 7])) }, /cannot be decoded/],
    ['greets and is silent', { answer: () => undefined }, /no response/],
    [
      'answers in the wrong order',
      { answer: (socket, { xid }) => socket.write(reply(xid + 7, 0)) },
      /the connection has ended|closed|no answer/,
    ],
    ['reports every session as expired', { greet: (socket) => socket.write(greeting(0)) }, /expired/],
  ];
  test.each(refusals)('rejects within a session time-out when the server %s', async (_, behavior, reason) => {
    const { connect } = await startFake(behavior);
    const { error, tookMs } = await opening(connect);
    expect(error).toEqual(unreachable(reason));
    expect(error).toEqual(unreachable(new RegExp(`ZooKeeper at ${connect} does not answer.*Start ZooKeeper`)));
    expect(tookMs).toBeLessThan(sessionMs + 1_000);
  });

  test('connects 3 to 29 times to a server that closes at once', async () => {
    const { connect, connections } = await startFake({ greet: (socket) => socket.destroy() });
    await opening(connect);
    expect(connections()).toBeGreaterThan(2);
    expect(connections()).toBeLessThan(30);
  });

  test('rejects when no server listens', async () => {
    const { error } = await opening('127.0.0.1:1');
    expect(error).toEqual(unreachable(/ECONNREFUSED/));
  });

  test('waits up to openMs for a server that answers late', async () => {
    const answersAtMs = performance.now() + 1.5 * sessionMs;
    const greet: ServerBehavior['greet'] = (socket, asked) => {
      if (performance.now() > answersAtMs) grant(socket, asked);
    };
    const { connect, port } = await startFake({ greet });
    const { session } = await openAtOnce({ connect, ns: 'test', sessionMs, openMs: 30_000 });
    expect(session.connection?.address.port).toBe(port);
  });

  test('reaches a server whose greeting takes longer than a third of a session', async () => {
    const greet: ServerBehavior['greet'] = (socket, asked) =>
      void setTimeout(() => grant(socket, asked), 0.6 * sessionMs);
    const { connect, port } = await startFake({ greet });
    const { session } = await openAtOnce({ connect, ns: 'test', sessionMs, openMs: 30_000 });
    expect(session.connection?.address.port).toBe(port);
  });

  describe('on a server that greets after most of the limit and answers nothing', () => {
    const greetAfter = (ms: number): ServerBehavior => {
      const begunMs = clock.mono();
      return {
        greet: (socket, asked) => (clock.mono() - begunMs < ms ? socket.destroy() : grant(socket, asked)),
        answer: () => undefined,
      };
    };

    test('a call ends within its limit', async () => {
      const limitMs = 700;
      const { connect, port } = await startFake(greetAfter(540));
      const addresses = [{ host: '127.0.0.1', port }];
      const rights = { digest: undefined, worldRead: false };
      const random = { next: () => 0.1 }; // short pauses, so that the greeting arrives before the limit
      const around = { clock, random, notices: openNotices() };
      const session = openSession({ ...around, addresses, rights, sessionMs });
      later(() => session.close());
      const call = session.call('reading', true, (connection) => connection.exists('/a'), limitMs);
      const error: unknown = await call.catch((thrown: unknown) => thrown);
      expect(error).toEqual(unreachable(new RegExp(connect)));
      expect(isBusError(error, 'Unreachable') && error.details.waitedMs).toBeLessThan(limitMs + 100);
    });

    test('opening does not wait twice, because its process was not suspended', async () => {
      const { connect } = await startFake(greetAfter(0.7 * sessionMs));
      const { error, tookMs } = await opening(connect);
      expect(error).toEqual(unreachable(/does not answer/));
      expect(tookMs).toBeLessThan(1.5 * sessionMs);
    });
  });

  test('waits again when its own process stalled for the whole time-out', async () => {
    const { connect, port } = await startFake();
    const { opening: opened } = beginToOpen({ connect, ns: 'test', sessionMs });
    const untilMs = performance.now() + 2 * sessionMs;
    while (performance.now() < untilMs); // blocks the event loop
    expect((await opened).session.connection?.address.port).toBe(port);
  });

  test('connects to the one of three servers that works', async () => {
    const silent = await startFake({ greet: () => undefined });
    const good = await startFake();
    const { session } = await open({ connect: `127.0.0.1:1,${silent.connect},${good.connect}`, ns: 'test', sessionMs });
    expect(session.connection?.address.port).toBe(good.port);
  });

  test('reports once that the server grants longer sessions than requested', async () => {
    const { connect } = await startFake({ greet: (socket) => socket.write(greeting(3_000)) });
    const { session, notices } = await open({ connect, ns: 'test', sessionMs });
    const first = session.connection;
    first?.cut('by the test');
    await until('it is connected again', () => session.connection !== undefined && session.connection !== first);
    const said = notices.filter((notice) => notice.type === 'log').map(({ message }) => message);
    expect(said).toEqual([expect.stringMatching(/grants sessions of 3000 ms, not 900, .*Lower its tickTime/)]);
  });

  test('rejects with NotAllowed for a rejected user, with the password in no message', async () => {
    process.env['ZOOKEEPER_TEST_USER'] = 'ann:very-secret';
    later(() => delete process.env['ZOOKEEPER_TEST_USER']);
    const { connect } = await startFake({
      answer: (socket, question) =>
        question.type === 100 ? socket.end(reply(-4, -115)) : answerEmpty(socket, question),
    });
    const auth = { variable: 'ZOOKEEPER_TEST_USER' };
    const { opening: refused, notices } = beginToOpen({ connect, ns: 'test', sessionMs, clock, auth });
    const error: unknown = await refused.catch((thrown: unknown) => thrown);
    expect(isBusError(error, 'NotAllowed')).toBe(true);
    expect(`${String(error)} ${JSON.stringify(error)} ${JSON.stringify(notices)}`).not.toContain('secret');
  });
});

describe('an open session', () => {
  /** Opens a session on a server that changes its behavior when the test calls `turn`. */
  async function openOn(
    after: ServerBehavior,
  ): Promise<{ turn: () => void; fake: Fake; opened: Awaited<ReturnType<typeof open>> }> {
    let turned = false;
    const fake = await startFake({
      greet: (socket, asked) => ((turned && after.greet) || grant)(socket, asked),
      answer: (socket, question) => ((turned && after.answer) || answerEmpty)(socket, question),
    });
    const opened = await open({ connect: fake.connect, ns: 'test', sessionMs });
    await until('it is restored', () => !isRestoring(opened.session));
    return { turn: () => void (turned = true), fake, opened };
  }

  test('reports a frozen server, and rejects calls within a session time-out', async () => {
    const { turn, opened } = await openOn({ greet: () => undefined, answer: () => undefined });
    turn();
    const failing = opened.settings.get('key').catch((thrown: unknown) => thrown);
    expect(await livedMs(failing)).toBeLessThan(sessionMs + 500);
    expect(await failing).toEqual(unreachable(/reading setting key: ZooKeeper at .*: no (response|session)/));
    expect(opened.state()).toMatchObject({ ok: false, reason: expect.stringMatching(/no response for 300 ms/) });
  });

  test('reconnects after a cut within a frame, and repeats the read', async () => {
    let cut = false;
    const { turn, opened, fake } = await openOn({
      answer(socket, question) {
        if (cut) return answerEmpty(socket, question);
        cut = true;
        const half = Buffer.alloc(10);
        half.writeInt32BE(100, 0);
        socket.write(half, () => socket.destroy());
      },
    });
    turn();
    expect(await opened.settings.get('key')).toEqual({ key: 'key', value: '', version: 1 });
    expect(fake.connections()).toBe(2);
    await until('it is reported', () => opened.state()?.ok === true);
  });

  test.each([-118, -122, -125, -127, -999])('survives an answer with the code %i', async (code) => {
    const { turn, opened, fake } = await openOn({
      answer: (socket, question) =>
        question.type === 5 ? socket.write(reply(question.xid, code)) : answerEmpty(socket, question),
    });
    turn();
    const error: unknown = await opened.settings.set('key', 'value', 1).catch((thrown: unknown) => thrown);
    expect(error).toEqual(unreachable(code === -125 ? /a quota of the server is used up/ : /code|overloaded/));
    expect(fake.connections()).toBe(1);
  });

  test('reconnects after an unknown notification', async () => {
    const strange = Buffer.alloc(12);
    strange.writeInt32BE(77, 0);
    let sent = false;
    const { turn, opened, fake } = await openOn({
      answer(socket, question) {
        if (!sent) socket.write(reply(-1, 0, strange));
        sent = true;
        answerEmpty(socket, question);
      },
    });
    turn();
    expect(await opened.settings.get('key')).toMatchObject({ version: 1 });
    expect(fake.connections()).toBe(2);
  });

  test('starts a new session when servers keep rejecting the old one', async () => {
    const asked: string[] = [];
    const { turn, opened } = await openOn({
      greet(socket, bytes) {
        const session = bytes.toString('hex', 20, 28);
        asked.push(session);
        if (session === '0000000000000000') grant(socket, bytes);
        else socket.destroy();
      },
    });
    turn();
    opened.session.connection?.cut('by the test');
    await until('another session', () => opened.session.connection?.alive);
    expect(asked.filter((session) => session !== '0000000000000000').length).toBeGreaterThan(1);
  });

  test('does not repeat a write whose outcome is unknown', async () => {
    let writes = 0;
    const { turn, opened } = await openOn({
      answer(socket, question) {
        if (question.type !== 5) return answerEmpty(socket, question);
        writes++;
        socket.destroy();
      },
    });
    turn();
    const error: unknown = await opened.settings.set('key', 'value', 1).catch((thrown: unknown) => thrown);
    expect(error).toEqual(unreachable(/writing setting key/));
    expect(writes).toBe(1);
  });
});

describe('closing', () => {
  const states: [string, ServerBehavior][] = [
    ['answers', {}],
    ['is frozen', { answer: (socket, question) => question.type !== -11 && answerEmpty(socket, question) }],
  ];
  test.each(states)('takes less than a second on a server that %s', async (_, behavior) => {
    const { connect } = await startFake(behavior);
    const opened = await open({ connect, ns: 'test', sessionMs: 30_000 });
    expect(await livedMs(opened.close())).toBeLessThan(1_000);
    expect(isBusError(await opened.settings.get('key').catch((thrown: unknown) => thrown), 'Closed')).toBe(true);
  });

  test('leaves no handle that keeps the process running', async () => {
    const { connect } = await startFake();
    const leave = async (n: number): Promise<number> => {
      const child = startChild([connect, 'test', `photos#${n}`, '30000', 'leave']);
      const exit = await new Promise((resolve) => child.once('exit', resolve));
      expect(exit).toBe(0);
      return performance.now() - (await child.left);
    };
    expect(await quickest(1_000, leave)).toBeLessThan(1_000);
  });

  test('takes less than two seconds when the server stops answering', async () => {
    let silent = false;
    const { connect } = await startFake({
      answer: (socket, question) => !silent && answerEmpty(socket, question),
    });
    const opened = await open({ connect, ns: 'test', sessionMs: 30_000 });
    await opened.registry.announce(instance('photos#a'));
    silent = true;
    expect(await livedMs(opened.close())).toBeLessThan(2_000);
  });

  test('takes less than a second without a connection, and rejects waiting calls with Closed', async () => {
    const fake = await startFake();
    const opened = await open({ connect: fake.connect, ns: 'test', sessionMs: 30_000 });
    await cleanUpFake();
    const reading = opened.settings.get('key').catch((thrown: unknown) => thrown);
    expect(await livedMs(opened.close())).toBeLessThan(1_000);
    expect(isBusError(await reading, 'Closed')).toBe(true);

    async function cleanUpFake(): Promise<void> {
      opened.session.connection?.cut('by the test');
      await until('it is away', () => !opened.session.connection?.alive);
    }
  });
});

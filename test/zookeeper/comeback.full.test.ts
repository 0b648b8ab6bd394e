/** Work that a reconnect must do is kept for the next connection when this one ends before the work is done. */
import { answerEmpty, grant, greeting, startFake } from '../support/fake-zookeeper';
import { cleanUp, isRestoring, type Opened, open, until } from '../support/zookeeper-sessions';

afterEach(cleanUp);

const restored = ({ session }: Opened) => until('it is restored', () => session.connection && !isRestoring(session));
async function reconnect({ session }: Opened): Promise<void> {
  const before = session.connection;
  before?.cut('by the test');
  await until('it is connected again', () => session.connection !== undefined && session.connection !== before);
}

test('the first connection that lasts restores everything that a lost session had created', async () => {
  const behavior = { expire: false, answers: true };
  const { connect } = await startFake({
    greet(socket, asked) {
      if (behavior.expire) socket.write(greeting(0));
      else grant(socket, asked);
      behavior.expire = false;
    },
    answer: (socket, question) => (behavior.answers ? answerEmpty(socket, question) : undefined),
  });
  const opened = await open({ connect, ns: 'test', sessionMs: 60_000 });
  await restored(opened);
  behavior.expire = true;
  behavior.answers = false;
  await reconnect(opened);
  const { comeback } = opened.session;
  expect(comeback.newSession).toBe(true);
  behavior.answers = true;
  await reconnect(opened);
  expect(opened.session.comeback).toEqual({ awayMs: expect.any(Number), newSession: true });
  expect(opened.session.comeback.awayMs).toBeGreaterThanOrEqual(comeback.awayMs);
  await restored(opened);
  await reconnect(opened);
  expect(opened.session.comeback.newSession).toBe(false);
});

/** Work that a reconnect must do is kept for the next connection when this one ends before the work is done. */
import { answerWell, grant, greeting, startFake } from '../support/fake-zookeeper';
import { cleanUp, type Opened, open, until } from '../support/zookeeper-sessions';

afterEach(cleanUp);

const restored = ({ session }: Opened) =>
  until('it is restored', () => session.connection && session['restoring' as keyof typeof session] === undefined);
async function reconnect({ session }: Opened): Promise<void> {
  const before = session.connection;
  before?.cut('by the test');
  await until('it is connected again', () => session.connection !== undefined && session.connection !== before);
}

test('the first connection that lasts restores everything that a lost session had created', async () => {
  const manners = { expire: false, answers: true };
  const { connect } = await startFake({
    greet(socket, asked) {
      if (manners.expire) socket.write(greeting(0));
      else grant(socket, asked);
      manners.expire = false;
    },
    answer: (socket, question) => (manners.answers ? answerWell(socket, question) : undefined),
  });
  const opened = await open({ connect, ns: 'test', sessionMs: 60_000 });
  await restored(opened);
  manners.expire = true;
  manners.answers = false;
  await reconnect(opened);
  const { comeback } = opened.session;
  expect(comeback.newSession).toBe(true);
  manners.answers = true;
  await reconnect(opened);
  expect(opened.session.comeback).toEqual({ awayMs: expect.any(Number), newSession: true });
  expect(opened.session.comeback.awayMs).toBeGreaterThanOrEqual(comeback.awayMs);
  await restored(opened);
  await reconnect(opened);
  expect(opened.session.comeback.newSession).toBe(false);
});

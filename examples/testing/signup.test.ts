/** Tests of `signup` on the real bus in memory. Time is virtual: a minute of backoff takes no time. */
import assert from 'node:assert/strict';
import { test } from 'node:test'; // any other test runner works as well
import { testBus } from 'busbar/testing';
import { mailer, signup, signupHandlers } from './signup.js';

/** Serves `signup`, and stands in for `mailer`. */
async function start() {
  const bus = testBus(signup);
  await bus.serve(signup, signupHandlers(bus));
  await bus.stub(mailer, { send: ({ to }) => ({ mailId: `mail to ${to}` }) });
  return bus;
}
const unreachable = { outcome: 'not-sent', waitedMs: 0 } as const;

test('publishes an event when the mail was sent', async () => {
  const bus = await start();
  await bus.as('web').submit(signup.welcome, { user: 'ann' });
  await bus.settled(); // every handler that can run has run
  assert.deepEqual(
    bus.sent(signup.welcomed).map(({ body }) => body),
    [{ user: 'ann', mailId: 'mail to ann' }],
  );
});

test('sends the mail a minute later if the mailer was unreachable', async () => {
  const bus = await start();
  bus.fault(mailer.send, 'Unreachable', unreachable); // the next request fails like this
  await bus.as('web').submit(signup.welcome, { user: 'bob' });
  await bus.settled();
  assert.equal(bus.sent(signup.welcomed).length, 0);

  await bus.clock.advance(60_000);
  await bus.settled();
  assert.equal(bus.sent(signup.welcomed).length, 1);
});

test('parks the job after two attempts, with the reason', async () => {
  const bus = await start();
  bus.fault(mailer.send, 'Unreachable', unreachable, 2);
  await bus.as('web').submit(signup.welcome, { user: 'eve' });
  await bus.settled();
  await bus.clock.advance(60_000);
  await bus.settled();
  const [parked] = bus.parked(signup.welcome);
  assert.equal(parked?.attempts, 2);
  assert.match(parked?.reason ?? '', /Unreachable/);
});

/** Probes of requests without a reply, and of instances that owe a sign of life. */
import { virtualClock } from '../../src/memory';
import type { OpenCall } from '../../src/request/open-call';
import { createProber } from '../../src/request/probe';
import { openCall, sentTo, targetOf } from '../support/open-calls';

function system({ failure, isReached = true }: { readonly failure?: string; readonly isReached?: boolean } = {}) {
  const clock = virtualClock();
  const open = new Map<string, OpenCall>();
  const probes: string[] = [];
  const prober = createProber({
    clock,
    open,
    messenger: { whyDelayed: () => failure },
    send({ instance }, { id }) {
      probes.push(`${clock.mono()} ${instance.name} ${id}`);
      return isReached;
    },
  });
  const target = targetOf('a');
  /** Sends a request to instance a. */
  const begin = (id: string, timeoutMs = 60_000): OpenCall => {
    const { call } = openCall(clock, { id, timeoutMs });
    open.set(id, call);
    sentTo(target, call, clock);
    prober.watch(target);
    return call;
  };
  return { clock, open, probes, prober, target, begin };
}

test('an open request is probed each second', async () => {
  const { clock, probes, begin } = system();
  begin('id1');
  await clock.advance(3_000);
  expect(probes).toEqual(['1000 a id1', '2000 a id1', '3000 a id1']);
});

test('a request with a short timeout is probed after half of it', async () => {
  const { clock, probes, begin } = system();
  begin('id1', 600);
  await clock.advance(500);
  expect(probes).toEqual(['500 a id1']);
});

test('an instance that owes a reply is probed after its requests have ended, until it responds', async () => {
  const { clock, open, probes, target, begin } = system();
  const call = begin('id1');
  target.ended(call, false);
  open.clear();
  await clock.advance(2_000);
  expect(probes).toEqual(['1000 a id1', '2000 a id1']);
  target.responded(clock.mono());
  await clock.advance(2_000);
  expect(probes).toHaveLength(2);
  expect(clock.nextDueMs).toBeUndefined();
});

test('an instance to which no probe can be sent is eligible again', async () => {
  const { clock, probes, target, begin } = system({ isReached: false });
  begin('id1');
  await clock.advance(1_000);
  expect(probes).toHaveLength(1);
  expect(target.silentSinceMs).toBeUndefined();
});

test('nothing is probed while the transport reports a failure', async () => {
  const { clock, probes, begin } = system({ failure: 'the broker is down' });
  begin('id1');
  await clock.advance(5_000);
  expect(probes).toEqual([]);
});

test('a stopped prober probes nothing, and has no timer', async () => {
  const { clock, probes, prober, target, begin } = system();
  begin('id1');
  prober.stop();
  prober.watch(target);
  await clock.advance(5_000);
  expect(probes).toEqual([]);
  expect(clock.nextDueMs).toBeUndefined();
});

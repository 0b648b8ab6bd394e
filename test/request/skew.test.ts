/** Requests over a messenger with a clock of its own, which can report its failures. */
import { buildBus, type BuiltBus } from '../../src/bus/bus';
import { broadcast, defineModule, request, unchecked } from '../../src/contract/contract';
import { memoryWorld, virtualClock } from '../../src/memory';
import type { Messenger } from '../../src/ports/messenger';
import { memoryBusParts } from '../../src/testing/parts';

const maths = defineModule('maths', {
  double: request(unchecked<number>(), unchecked<number>()),
  forget: broadcast(unchecked<number>()),
});
const hourMs = 3_600_000;

function system() {
  const clock = virtualClock();
  const world = memoryWorld({ clock, delays: { minMs: 1, maxMs: 1 } });
  /** An instance whose clock is `aheadMs` ahead of the clock of the messenger. */
  const join = (
    module: string,
    aheadMs: number,
    change: (messenger: Messenger) => Messenger = (messenger) => messenger,
  ): BuiltBus => {
    const process = world.process(`${module}#1`);
    const own = { ...process.clock, now: () => process.clock.now() + aheadMs };
    const messenger = change({ ...process.messenger, skewMs: -aheadMs });
    return buildBus(memoryBusParts({ ...process, clock: own, messenger }));
  };
  return { clock, join };
}
const none = { forget: () => undefined };

test('a handler error caused by the deadline is a Timeout, also with a skewed clock', async () => {
  const { clock, join } = system();
  const web = join('web', 0);
  const server = join('maths', 50, (messenger) => ({ ...messenger, skewMs: 0 })); // 50 ms ahead, with an estimated skew of 0
  const serving = server.bus.serve(maths, {
    double: (_n, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted')))),
    ...none,
  });
  await clock.advance(100);
  await serving;
  const asked = web.bus.tryRequest(maths.double, 4, { timeoutMs: 1_000 });
  await clock.advance(2_000);
  expect(await asked).toMatchObject({
    error: { code: 'Timeout', details: { timeoutMs: 1_000, reached: 'running' } },
  });
});

test.each([
  ['the caller', hourMs, 0],
  ['the responder', 0, hourMs],
])('both sides agree on a deadline when the clock of %s is an hour ahead', async (_who, mineMs, theirsMs) => {
  const { clock, join } = system();
  const [web, server] = [join('web', mineMs), join('maths', theirsMs)];
  const left: number[] = [];
  const serving = server.bus.serve(maths, {
    double: (n, { deadline }) => {
      left.push(deadline - (clock.now() + theirsMs));
      return n * 2;
    },
    ...none,
  });
  await clock.advance(100);
  await serving;
  const asked = web.bus.tryRequest(maths.double, 4, { timeoutMs: 1_000 });
  await clock.advance(100);
  expect(await asked).toEqual({ ok: true, value: 8 });
  expect(left[0]).toBeGreaterThan(900);
  expect(left[0]).toBeLessThanOrEqual(1_000);
});

test('a request that the messenger could not send is Unreachable at its deadline', async () => {
  const { clock, join } = system();
  let trouble: string | undefined = 'no leader for partition 3';
  const kinds: string[] = [];
  const send: Messenger['send'] = (_to, { line }) => void kinds.push(line.split(' ')[1] ?? '');
  const web = join('web', 0, (messenger) => ({ ...messenger, send, whyDelayed: () => trouble }));
  const server = join('maths', 0);
  const serving = server.bus.serve(maths, { double: (n) => n * 2, ...none });
  await clock.advance(100);
  await serving;
  const asked = web.bus.tryRequest(maths.double, 4, { timeoutMs: 1_000 });
  await clock.advance(1_100);
  expect(await asked).toMatchObject({
    error: { code: 'Unreachable', message: expect.stringContaining('no leader for partition 3') },
  });
  expect(kinds).toEqual(['request']); // a probe would only delay the packets that wait
  trouble = undefined;
  const again = web.bus.tryRequest(maths.double, 4, { timeoutMs: 1_000 });
  await clock.advance(1_100);
  expect(await again).toMatchObject({ error: { code: 'Timeout', details: { reached: 'sent' } } });
  expect(kinds.slice(1)).toEqual(['request', 'probe', 'probe']); // one probe for the instance, and one for the request
});

test('an instance joins the broadcasts of a module before other instances find it', async () => {
  const { clock, join } = system();
  const seen: string[] = [];
  const server = join('maths', 0, (messenger) => ({
    ...messenger,
    join: async (module) => {
      seen.push(`joining ${module}, known ${web.bus.instances(maths).length}`);
      return messenger.join(module);
    },
  }));
  const web = join('web', 0);
  void web.bus.tryRequest(maths.double, 4);
  await clock.advance(100);
  const serving = server.bus.serve(maths, { double: (n) => n * 2, ...none });
  await clock.advance(100);
  await serving;
  expect(seen).toEqual(['joining maths, known 0']);
  expect(web.bus.instances(maths)).toHaveLength(1);
});

import { limits } from '../../src/base/limits';
import { defineModule, request, unchecked } from '../../src/contract/contract';
import { createLimiter } from '../../src/delivery/limiter';
import { virtualClock } from '../../src/memory';
import { Line, type Waiting } from '../../src/request/line';

const { double } = defineModule('maths', { double: request(unchecked<number>(), unchecked<number>()) });

/** A full line of requests with different deadlines, and a count of deadline reads. */
function fullLine() {
  const clock = virtualClock();
  const looks = { count: 0 };
  const expired: Waiting[] = [];
  const served = { entry: double, run: () => 0, limiter: createLimiter({ concurrency: 0, perSecond: Infinity }) };
  const line = new Line<Waiting>(served, { clock, start: () => undefined, expire: (one) => expired.push(one) });
  for (let n = 0; n < limits.waitingRequestsMax; n++) {
    const untilMs = clock.mono() + (n === 5_000 ? 50 : 60_000);
    line.take({
      bytes: 1,
      deadlineMs: Infinity,
      get untilMs() {
        looks.count++;
        return untilMs;
      },
      place: undefined,
    });
  }
  looks.count = 0;
  return { clock, line, looks, expired };
}

test('1,000 refusals of a full line search it for expired requests once', () => {
  const { line, looks } = fullLine();
  for (let n = 0; n < 1_000; n++) expect(line.hasRoom(1)).toBe(false);
  expect(looks.count).toBeLessThanOrEqual(limits.waitingRequestsMax + 1_000);
});

test('a full line is searched again after 100 ms, so that expired requests make room', async () => {
  const { clock, line, expired } = fullLine();
  expect(line.hasRoom(1)).toBe(false);
  await clock.advance(99);
  expect(line.hasRoom(1)).toBe(false);
  await clock.advance(1);
  expect(line.hasRoom(1)).toBe(true);
  expect(expired).toHaveLength(1);
});

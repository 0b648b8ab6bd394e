import { Throttling } from '../../../src/kafka/client/throttling';
import { virtualClock, type VirtualClock } from '../../../src/memory/clock';

let clock: VirtualClock;
let throttling: Throttling;
beforeEach(() => {
  clock = virtualClock();
  throttling = new Throttling(clock, 'web#1', 'ann');
});

describe('pauses that brokers impose on a client', () => {
  it('are not reported while their sum is short', async () => {
    for (let n = 0; n < 40; n++) {
      throttling.add('Produce', 100);
      await clock.advance(1_000);
    }
    expect(throttling.review()).toBeUndefined();
  });

  it('are reported with the quota to raise, in an unchanged text until they are over', async () => {
    throttling.add('Produce', 6_000);
    throttling.add('Fetch', 500);
    throttling.add('Heartbeat', 100);
    const said = throttling.review();
    expect(said).toContain(
      'delayed this client by 6.6 s in the last minute (Produce 6.0 s, Fetch 0.5 s, Heartbeat 0.1 s)',
    );
    expect(said).toContain('a quota of user ann or client id web#1');
    expect(said).toContain('producer_byte_rate, consumer_byte_rate, request_percentage: kafka-configs.sh --describe');
    await clock.advance(30_000);
    throttling.add('Produce', 2_000);
    expect(throttling.review()).toBe(said);
    await clock.advance(61_000);
    expect(throttling.review()).toBeUndefined();
  });

  it('take a bounded amount of memory', () => {
    for (let n = 0; n < 100_000; n++) throttling.add('Produce', 1);
    expect(throttling.review()).toBeUndefined(); // the last 1,000 of them
  });
});

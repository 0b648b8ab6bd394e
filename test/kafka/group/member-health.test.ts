import { openNotices, type Notice } from '../../../src/base/notices';
import { MemberHealth } from '../../../src/kafka/group/member-health';
import { FakeKafka } from '../../support/fake-kafka-log';

let kafka: FakeKafka;
beforeEach(() => (kafka = new FakeKafka()));
afterEach(() => kafka.close());

function healthOf(group: string) {
  const notices = openNotices();
  const states: Notice[] = [];
  notices.watchStates((notice) => void states.push(notice));
  return { health: new MemberHealth(kafka.view('one', notices), group), states };
}

describe('the health of a member', () => {
  it('is reported once when failures last for five seconds, and again when a round completes', async () => {
    const { health, states } = healthOf('g');
    health.failed();
    await kafka.clock.advance(4_999);
    health.reportLasting(new Error('no'));
    expect(states).toEqual([]);
    await kafka.clock.advance(1);
    for (let i = 0; i < 2; i++) health.reportLasting(new Error('no'));
    expect(states).toMatchObject([{ part: 'group g', ok: false, reason: 'not a member for 5000 ms: no' }]);
    health.completed();
    health.completed();
    expect(states.slice(1)).toMatchObject([{ part: 'group g', ok: true, reason: 'it is a member again' }]);
  });

  it('counts the time of failures from the last completed round', async () => {
    const { health, states } = healthOf('g');
    health.failed();
    await kafka.clock.advance(10_000);
    health.completed();
    health.failed();
    health.reportLasting(new Error('no'));
    expect(states).toEqual([]);
  });

  it('leads to longer pauses with each failed round, up to a second', () => {
    const { health } = healthOf('g');
    health.failed();
    expect(health.retryPauseMs).toBeLessThanOrEqual(20);
    for (let i = 0; i < 20; i++) health.failed();
    expect(health.retryPauseMs).toBeGreaterThanOrEqual(500);
    expect(health.retryPauseMs).toBeLessThanOrEqual(1_000);
  });
});

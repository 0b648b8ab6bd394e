import { openNotices } from '../../src/base/notices';
import { openHealth } from '../../src/bus/health';
import { virtualClock } from '../../src/memory/clock';

function open() {
  const [clock, notices] = [virtualClock(), openNotices()];
  return { clock, notices, health: openHealth(clock, notices, { refused: [] }, () => []) };
}

test('any part that reports a final failure makes the instance not live', async () => {
  const { clock, notices, health } = open();
  notices.emit({ type: 'state', part: 'registry', ok: false, reason: 'EIO', final: true });
  await clock.advance(5);
  expect(health.read()).toEqual({
    live: false,
    ready: false,
    reasons: [{ part: 'registry', reason: 'EIO', sinceMs: 5 }],
  });
});

test('a failed part makes the instance not ready, with its latest reason, until repaired', async () => {
  const { clock, notices, health } = open();
  notices.emit({ type: 'state', part: 'registry', ok: false, reason: 'ENOENT' });
  await clock.advance(5);
  notices.emit({ type: 'state', part: 'registry', ok: false, reason: 'EACCES' });
  await clock.advance(5);
  expect(health.read()).toEqual({
    live: true,
    ready: false,
    reasons: [{ part: 'registry', reason: 'EACCES', sinceMs: 10 }],
  });
  notices.emit({ type: 'state', part: 'registry', ok: true, reason: 'it can be read' });
  expect(health.read()).toEqual({ live: true, ready: true, reasons: [] });
});

test('a degraded part leaves the instance ready, and health returns the reason', async () => {
  const { notices, health } = open();
  const reason = 'the brokers refuse commits of the usual size';
  notices.emit({ type: 'state', part: 'commit size', ok: false, reason, ready: true });
  expect(health.read()).toEqual({ live: true, ready: true, reasons: [{ part: 'commit size', reason, sinceMs: 0 }] });
  notices.emit({ type: 'state', part: 'registry', ok: false, reason: 'ENOENT' });
  expect(health.read()).toMatchObject({ live: true, ready: false });
});

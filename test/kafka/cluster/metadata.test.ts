import { openNotices, type Notice } from '../../../src/base/notices';
import { FakeBench } from '../fakebench';

let bench: FakeBench;
beforeEach(() => (bench = new FakeBench()));
afterEach(() => bench.close());

describe('the view of the cluster', () => {
  it('waits for brokers while the one that answers knows of none, and says so when there are none for long', async () => {
    const view = bench.view('one');
    bench.cluster.nameless = true;
    const late = bench.watch(view.ask('the brokers', () => view.nodes()));
    await bench.clock.advance(1_000);
    expect(late.settled).toBe(false);
    bench.cluster.nameless = false;
    await bench.until(() => late.settled);
    expect(late.value).toEqual([1, 2, 3]);
    bench.cluster.nameless = true;
    const other = bench.view('two');
    const error = await bench.refusal(other.ask('the brokers', () => other.nodes()));
    expect(error).toMatchObject({ code: 'Unreachable' });
    expect(error.message).toContain('no broker is there');
  });

  it('does not report the brokers as reachable when it is closed while they are away', async () => {
    const notices = openNotices();
    const states: Notice[] = [];
    notices.watchStates((notice) => void states.push(notice));
    const view = bench.view('one', notices);
    for (const node of [1, 2, 3]) bench.cluster.kill(node);
    const refreshed = async (): Promise<void> => {
      while (states.length === 0) await view.refresh();
    };
    await bench.run(refreshed());
    expect(states).toMatchObject([{ part: 'kafka', ok: false }]);
    const last = view.refresh();
    view.close();
    await bench.run(last);
    expect(states).toHaveLength(1);
  });
});

import { FakeBench } from './fakebench';

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
});

/** A stopped process beside a running one: nearly all requests are sent to the running one. */
import { shop } from './contract';
import { openScene, type Scene } from './processes';

let scene: Scene;
beforeEach(() => (scene = openScene()));
afterEach(() => scene.close());
jest.setTimeout(240_000);

test('a stopped instance fails only the first requests, and is chosen again after SIGCONT', async () => {
  const [stopped, running] = [await scene.start(), await scene.start()];
  const bus = await scene.open('web');
  /** Sends `count` requests, `atOnce` at a time, and returns the responders or error codes. */
  const ask = async (count: number, atOnce: number): Promise<string[]> => {
    const answers: string[] = [];
    let left = count;
    const loop = async (): Promise<void> => {
      while (left-- > 0) {
        const result = await bus.tryRequest(shop.who, undefined, { timeoutMs: 3_000 });
        answers.push(result.ok ? result.value : result.error.code);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, loop));
    return answers;
  };
  const failures = (answers: readonly string[]): number =>
    answers.filter((one) => one !== stopped.instance && one !== running.instance).length;
  const before = await ask(200, 10);
  expect(failures(before)).toBe(0);
  expect(before.filter((one) => one === stopped.instance).length).toBeGreaterThan(20);
  stopped.kill('SIGSTOP');
  // The requests of one instance while the other is as busy; a third of all failed where either could be drawn twice.
  expect(failures(await ask(200, 10))).toBeLessThanOrEqual(10);
  expect(failures(await ask(600, 10))).toBeLessThanOrEqual(5);
  stopped.kill('SIGCONT');
  let answers: string[] = [];
  for (let round = 0; round < 100 && !answers.includes(stopped.instance); round++) answers = await ask(50, 10);
  expect(answers).toContain(stopped.instance);
});

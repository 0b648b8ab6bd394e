import { Captures, capturesPerSecondMax, located, withFrames } from '../../src/delivery/call-site';

const frames = (frame: string): string[] => [`    at ${frame} (app.ts:1:1)`];
const late = (): Error => Object.assign(new Error('late'), { stack: 'Error: late\n    at timer (bus.ts:1:1)' });
const failNever = (): Promise<number> => Promise.resolve(1);
/** Rejects later, from a turn of the event loop that has no frame of the caller. */
const failLater = (): Promise<never> => new Promise((_, reject) => setImmediate(() => reject(late())));

test('an error that ends several calls has the line of each caller', () => {
  const shared = Object.assign(late(), { code: 'Closed' });
  const [one, other] = ['async first', 'second'].map((frame, n) => {
    return withFrames(shared, [`    at ${frame} (app${n}.ts:1:1)`]) as typeof shared;
  });
  expect(one).toBe(shared);
  expect(one?.stack).toMatch(/^Error: late\n +at timer .*\n.*called from.*\n +at async first/);
  expect(other?.stack).toContain('at second');
  expect(other?.stack).not.toContain('first');
  expect(other).toMatchObject({ message: 'late', code: 'Closed' });
  expect(other).toBeInstanceOf(Error);
});

test('stacks that have the line, non-errors and frozen errors stay unchanged', () => {
  const error = Object.assign(late(), { stack: 'Error: late\n    at first (app.ts:1:27)' });
  const before = error.stack;
  expect(withFrames(error, frames('async first'))).toBe(error);
  expect(error.stack).toBe(before);
  expect(withFrames('full', frames('first'))).toBe('full');
  const frozen = Object.freeze(late());
  expect(withFrames(frozen, frames('first'))).toBe(frozen);
});

/** Captures of a second that has none left. */
function spent(): Captures {
  const captures = new Captures({ mono: () => 5 });
  for (let n = 0; n < capturesPerSecondMax; n++) captures.take();
  return captures;
}
const fresh = (): Captures => new Captures({ mono: () => 5 });
const count = { begin: () => ({ end: () => undefined }) };

describe.each([
  ['captured', fresh(), undefined],
  ['captured and counted', fresh(), count],
  ['not captured', spent(), undefined],
  ['not captured but counted', spent(), count],
])('a call that is %s', (_how, captures, counter) => {
  const call = located(captures, failLater, counter);
  type Wait = (fail: () => Promise<never>) => Promise<unknown>;
  const waits: Readonly<Record<string, Wait>> = {
    await: async (fail) => await fail(),
    'catch()': async (fail) => await fail().catch((error: unknown) => Promise.reject(error as Error)),
    'then()': async (fail) => await fail().then(() => 0),
    'Promise.all': async (fail) => await Promise.all([failNever(), fail()]),
    'Promise.race': async (fail) => await Promise.race([fail(), new Promise(() => undefined)]),
    'a returned promise': async (fail) => await (() => fail())(),
  };
  test.each(Object.entries(waits))('has the line of a caller that waits with %s', async (_how, wait) => {
    async function userCode(): Promise<unknown> {
      return await wait(call);
    }
    const error = (await userCode().catch((thrown: unknown) => thrown)) as Error;
    const [own = '', frames = ''] = (error.stack ?? '').split('--- called from ---');
    expect(own).toBe('Error: late\n    at timer (bus.ts:1:1)\n    ');
    expect(frames).toMatch(/at (async )?(Object\.)?userCode \(.*call-site\.test/);
    expect(frames).not.toMatch(/node:internal|src\/delivery/);
  });

  test('leaves the stack of an error that was thrown before anything was awaited', async () => {
    const check = located(
      captures,
      (): Promise<never> => {
        throw new Error('bad argument');
      },
      counter,
    );
    async function userCode(): Promise<unknown> {
      return await check();
    }
    const error = (await userCode().catch((thrown: unknown) => thrown)) as Error;
    expect(error.stack).toMatch(/at (Object\.)?userCode \(/);
    expect(error.stack).not.toContain('called from');
  });
});

test('a call that nothing awaits when it fails has its line if it was captured', async () => {
  const stackOf = async (captures: Captures): Promise<string | undefined> => {
    let stack: string | undefined;
    await new Promise<void>((resolve) => {
      located(captures, failLater)().catch((error: Error) => {
        stack = error.stack;
        resolve();
      });
    });
    return stack;
  };
  expect(await stackOf(fresh())).toMatch(/called from[^]*call-site\.test/);
  expect(await stackOf(spent())).toBe(late().stack);
});

test('a bus captures no more than the maximum in a second', () => {
  let nowMs = 10;
  const captures = new Captures({ mono: () => nowMs });
  const taken = (): number =>
    Array.from({ length: capturesPerSecondMax + 5 }, () => captures.take()).filter(Boolean).length;
  expect(taken()).toBe(capturesPerSecondMax);
  nowMs = 999;
  expect(taken()).toBe(0);
  nowMs = 1_000;
  expect(taken()).toBe(capturesPerSecondMax);
});

test('a located verb resolves with its value', async () => {
  await expect(located(fresh(), async (n: number) => n + 1)(1)).resolves.toBe(2);
});

test('a located verb counts a call until just before it settles', async () => {
  const steps: string[] = [];
  const count = {
    begin() {
      steps.push('begin');
      return { end: () => void steps.push('end') };
    },
  };
  const run = located(fresh(), async (n: number) => (n < 0 ? Promise.reject(late()) : n), count);
  await run(1).then((n) => steps.push(`resolved ${n}`));
  await run(-1).catch((error: Error) => steps.push(`rejected ${error.message}`));
  expect(steps).toEqual(['begin', 'end', 'resolved 1', 'begin', 'end', 'rejected late']);
});

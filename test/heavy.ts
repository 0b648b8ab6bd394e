/** `test` for slow tests: `npm run test:fast` skips them; `npm test` and a run of the file alone do not. */
const fast = process.env['npm_lifecycle_event'] === 'test:fast';

export const heavy: jest.It = fast ? test.skip : test;
/** `describe` for groups of slow tests. */
export const heavyGroup: jest.Describe = fast ? describe.skip : describe;

/** The number of runs of a property: `npm run test:fast` uses a tenth. */
export const tries = (count: number): number => (fast ? Math.ceil(count / 10) : count);

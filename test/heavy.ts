/**
 * `test` for what takes a noticeable part of a second: `npm run test:fast` leaves it out (it shows as skipped there),
 * `npm test` and running the file alone do not.
 */
const fast = process.env['npm_lifecycle_event'] === 'test:fast';

export const heavy: jest.It = fast ? test.skip : test;
/** The same for a group. */
export const heavyGroup: jest.Describe = fast ? describe.skip : describe;

/** How often a property is tried: `npm run test:fast` has what is enough to see that it still holds. */
export const tries = (count: number): number => (fast ? Math.ceil(count / 10) : count);

/**
 * `test` for what takes a noticeable part of a second: `npm run test:fast` leaves it out (it shows as skipped there),
 * `npm test` and running the file alone do not.
 */
export const heavy: jest.It = process.env['npm_lifecycle_event'] === 'test:fast' ? test.skip : test;
/** The same for a group. */
export const heavyGroup: jest.Describe = process.env['npm_lifecycle_event'] === 'test:fast' ? describe.skip : describe;

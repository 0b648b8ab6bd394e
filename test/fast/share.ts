/**
 * Runs all unit tests in two processes, each with one module registry, because loading modules for each file takes
 * longer than the tests.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';

const root = join(__dirname, '..', '..');
const folders = ['test', 'modules'];
const shares = 2; // as many as the machines have cores

const fast = process.env['npm_lifecycle_event'] === 'test:fast';
/** Fewer property runs in `npm run test:fast`, with the same cases each time; `npm test` uses the full number. */
fc.configureGlobal({ seed: 1, ...(fast && { numRuns: 25 }) });
/** Tests of code for servers run with the servers, in `npm test`. */
const forServers = /^test\/(kafka|zookeeper|cluster)\//;

/** Declares the tests of every second file, starting with number `share`. */
export function declareShare(share: number): void {
  const files = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file)),
  );
  const units = files.filter(
    (file) => file.endsWith('.test.ts') && !/\.(full|kafka)\.test\.ts$/.test(file) && !(fast && forServers.test(file)),
  );
  for (const file of units.toSorted().filter((_, n) => n % shares === share)) {
    describe(file, () => {
      require(join(root, file));
    });
  }
}

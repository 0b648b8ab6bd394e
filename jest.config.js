// `unit` starts no process and no server, a file at a time; `fast` is all of them at once; `full` may start both.
// `kafka` runs on a cluster, and so does `faults`, which takes longer than anybody waits for.
const swc = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true },
  },
  module: { type: 'commonjs' },
};
const shared = {
  transform: { '\\.ts$': ['@swc/jest', swc] },
  moduleNameMapper: {
    '^busbar$': '<rootDir>/src/index.ts',
    '^busbar/(.*)$': '<rootDir>/src/$1/index.ts',
  },
  modulePathIgnorePatterns: ['<rootDir>/dist', '<rootDir>/build'],
};
const cluster = {
  globalSetup: '<rootDir>/test/cluster/setup.ts',
  globalTeardown: '<rootDir>/test/cluster/teardown.ts',
  setupFilesAfterEnv: ['<rootDir>/test/cluster/patience.ts'],
};
module.exports = {
  maxWorkers: 2,
  // No test file leaves anything open, but on a busy machine it takes more than the usual 0.5 s to end a worker's process.
  workerGracefulExitTimeout: 10_000,
  testSequencer: '<rootDir>/test/order.cjs',
  testTimeout: 60_000, // only against hanging: what a test promises in milliseconds it measures itself
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/{test,modules}/**/*.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '\\.(?:full|kafka)\\.test\\.ts$'],
    },
    { ...shared, displayName: 'fast', testMatch: ['<rootDir>/test/fast/{one,two}.ts'] },
    { ...shared, displayName: 'full', testMatch: ['<rootDir>/{test,modules}/**/*.full.test.ts'] },
    {
      ...shared,
      ...cluster,
      displayName: 'kafka',
      testMatch: ['<rootDir>/{test,modules}/**/*.kafka.test.ts'],
      testPathIgnorePatterns: ['/node_modules/', '\\.long\\.kafka\\.test\\.ts$'],
    },
    { ...shared, ...cluster, displayName: 'faults', testMatch: ['<rootDir>/{test,modules}/**/*.long.kafka.test.ts'] },
  ],
};

// npm run fuzz -- [--runs N] [--seed S]: decodes random and mutated bodies, by default with a new seed each time.
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { runs: { type: 'string' }, seed: { type: 'string' } } });
const { runs = '1000000', seed = String(Date.now() % 2 ** 31) } = values;
const jest = ['node_modules/jest/bin/jest.js', '--selectProjects', 'full', '--testPathPatterns', 'test/format/fuzz'];
const env = { ...process.env, BUSBAR_FUZZ_RUNS: runs, BUSBAR_FUZZ_SEED: seed };
const { status } = spawnSync(process.execPath, jest, { stdio: 'inherit', env });
process.exit(status ?? 1);

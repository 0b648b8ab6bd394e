// npm run faults [-- --rounds N [--profile light,load] [--fault NAME,…] [--keep DIR]]: runs the fault suites once, or in rounds.
import { spawn } from 'node:child_process';

const args = process.argv.slice(2);
const jest = ['node_modules/jest/bin/jest.js', '--selectProjects', 'faults', ...args];
const rounds = ['-r', './test/register.cjs', 'test/kafka/faultrun.ts', '--table', ...args];
const isRounds = args.some((one) => one === '--rounds' || one.startsWith('--rounds='));
const env = isRounds ? process.env : { ...process.env, BUSBAR_REQUIRE_KAFKA: '1' };
const child = spawn(process.execPath, isRounds ? rounds : jest, { stdio: 'inherit', env });
child.once('exit', (code) => (process.exitCode = code ?? 1));

// npm run simulate -- --seeds N [--from S] [--plant NAME]: runs the bus on simulated processes, time, faults and log.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
require('../test/register.cjs');
const { main } = require('../test/simulation/main.ts');
process.exitCode = await main(process.argv.slice(2));

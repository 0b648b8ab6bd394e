// npm run scenarios -- [NAME…] [--short] [--speed N]: runs the scenarios of four published systems.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
require('../test/register.cjs');
const { main } = require('../test/scenarios/main.ts');
process.exit(await main(process.argv.slice(2)));

// Prints the option table between `<!-- options -->` and `<!-- end of options -->` in docs/configuration.md;
// --write updates that file. test/config.test.ts fails while the page differs.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
require('../test/register.cjs');
const { busOptions } = require('../src/options.ts');
const { optionsTable } = require('../src/options-table.ts');
const table = optionsTable(busOptions);

if (process.argv.includes('--write')) {
  const page = new URL('../docs/configuration.md', import.meta.url);
  const block = /(<!-- options -->\n)[^]*?(\n<!-- end of options -->)/;
  const text = readFileSync(page, 'utf8');
  if (!block.test(text)) throw new Error('docs/configuration.md has no <!-- options --> … <!-- end of options -->');
  writeFileSync(
    page,
    text.replace(block, (_all, start, end) => `${start}\n${table}\n${end}`),
  );
} else console.log(table);

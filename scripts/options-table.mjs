// Prints the table of options that README has between `<!-- options -->` and `<!-- end of options -->`;
// --write puts it there.
// Needs `npm run build`. test/config.test.ts fails while README says something else.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { busOptions, hostOptions } = require('../dist/config.js');
const { optionsTable } = require('../dist/base/options.js');
const table = optionsTable({ ...busOptions, ...hostOptions });

if (process.argv.includes('--write')) {
  const readme = new URL('../README.md', import.meta.url);
  const block = /(<!-- options -->\n)[^]*?(\n<!-- end of options -->)/;
  const text = readFileSync(readme, 'utf8');
  if (!block.test(text)) throw new Error('README.md has no <!-- options --> … <!-- end of options -->');
  writeFileSync(
    readme,
    text.replace(block, (_all, start, end) => `${start}\n${table}\n${end}`),
  );
} else console.log(table);

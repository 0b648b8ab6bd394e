/** Part names of state notices: only names in the tables compile, and code in src reports each of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openNotices } from '../../src/base/notices';
import { namedParts, singleParts, type StatePart } from '../../src/base/parts';

const src = join(__dirname, '..', '..', 'src');
const code = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => readFileSync(join(src, file), 'utf8'))
  .join('\n');

test('code reports every part in the tables', () => {
  const isReported = (text: string): boolean => /(?:\bpart: |\bpart = |orReport\(|\.fails\()$/.test(text);
  const reported = (text: string): boolean => code.split(text).slice(0, -1).some(isReported);
  const single = Object.keys(singleParts).filter((part) => !reported(`'${part}'`));
  const named = Object.keys(namedParts).filter((part) => !reported(`\`${part} \${`));
  expect([...single, ...named]).toEqual([]);
});

test('a state notice of an unknown part does not compile', () => {
  const notices = openNotices();
  // @ts-expect-error no row has this name
  notices.emit({ type: 'state', part: 'disk', ok: false, reason: 'full' });
  // @ts-expect-error a queue needs its name behind a blank
  const part: StatePart = 'queue';
  expect(part).toBe('queue');
});

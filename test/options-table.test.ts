/** The Markdown table of options. */
import { options } from '../src/base/options';
import { optionsTable } from '../src/options-table';

const declared = options({
  drainMs: { type: 'duration', default: 10_000, min: 0, max: 600_000, description: 'How long.', live: true },
  bodyBytesMax: { type: 'bytes', default: 65_536, min: 1024, max: 1024 ** 3, description: 'How large.' },
  workers: { type: 'integer', default: 8, min: 1, max: 100, description: 'How many.' },
  ns: { type: 'text', default: 'main', pattern: /^[a-z]+$/, description: 'A name | or two.' },
  dir: { type: 'text', description: 'Where.' },
  quiet: { type: 'flag', default: false, description: 'Whether.' },
  level: { type: 'choice', choices: ['low', 'high'], default: 'low', description: 'Which.' },
  brokers: { type: 'list', default: [], description: 'Whom.' },
  password: { type: 'secret', pattern: /^.{8,}$/, description: 'A secret.' },
});

test('the table has name, variable, default, bounds and meaning of each option', () => {
  const rows = optionsTable(declared).split('\n');
  expect(rows).toHaveLength(2 + Object.keys(declared).length);
  expect(rows[2]).toBe('| `drainMs` | `BUSBAR_DRAIN_MS` | 10s | 0 to 10m | yes | How long. |');
  expect(rows[3]).toBe('| `bodyBytesMax` | `BUSBAR_BODY_BYTES_MAX` | 64KB | 1KB to 1GB |  | How large. |');
  expect(rows[5]).toBe('| `ns` | `BUSBAR_NS` | `main` | `^[a-z]+$` |  | A name \\| or two. |');
  expect(rows[8]).toBe('| `level` | `BUSBAR_LEVEL` | `low` | `low`, `high` |  | Which. |');
});

test('the table has no value of a secret', () => {
  const { secret } = options({ secret: { type: 'secret', default: 'hunter2', description: 'A secret.' } });
  expect(optionsTable({ secret })).not.toContain('hunter');
});

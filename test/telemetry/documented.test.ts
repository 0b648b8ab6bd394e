/** The metrics that exist are those of docs/operations.md, of the dashboard and of the alert rules. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { counted, measured, metricNames } from '../../src/telemetry/instruments';

const read = (...path: readonly string[]): string => readFileSync(join(__dirname, '..', '..', ...path), 'utf8');
const labelsOf = new Map(
  [...Object.values(counted), ...Object.values(measured)].map(({ name, labels }) => [name, labels] as const),
);

test('docs/operations.md has each metric with its labels', () => {
  const rows = [...read('docs', 'operations.md').matchAll(/^\| `(busbar_\w+)` *\|([^|]*)\|/gm)];
  const documented = rows.map(([, name = '', labels = '']) => [name, [...labels.matchAll(/\w+/g)].map(String)]);
  expect(new Map(documented as [string, readonly string[]][])).toEqual(labelsOf);
  expect(documented).toHaveLength(metricNames.length);
});

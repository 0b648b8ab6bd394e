/** The metrics that exist are those of docs/operations.md, of the dashboard and of the alert rules. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
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

/** A PromQL expression, with the place where it stands. */
interface Expression {
  readonly where: string;
  readonly expr: string;
}
interface Dashboard {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}
const dashboard = JSON.parse(read('config', 'grafana-dashboard.json')) as Dashboard; // checked below
const rules = (parse(read('config', 'prometheus-alerts.yml')) as Rules).groups.flatMap((group) => group.rules);
const ofPanels = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }): Expression => ({ where: title, expr })),
);
const ofRules = rules.map(({ alert, expr }): Expression => ({ where: alert, expr }));

/** Labels that Prometheus adds when it reads a page. */
const added = ['job', 'instance', 'le'];
const histograms = new Set<string>(
  Object.values(counted).flatMap(({ type, name }) => (type === 'histogram' ? [name] : [])),
);
/** Returns the faults of an expression: metrics that do not exist, and labels that its metrics do not have. */
function faultsOf({ where, expr }: Expression): readonly string[] {
  const used = [...expr.matchAll(/busbar_\w+/g)].map(([name]) => name.replace(/_(?:bucket|sum|count)$/, ''));
  const isHistogram = (name: string): boolean => histograms.has(name);
  const unknown = used.filter((name) => !labelsOf.has(name));
  const raw = [...expr.matchAll(/busbar_\w+/g)].filter(([name]) => isHistogram(name));
  const known = new Set([...added, ...used.flatMap((name) => labelsOf.get(name) ?? [])]);
  const grouped = [...expr.matchAll(/\b(?:by|on) \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(/, */));
  const selected = [...expr.matchAll(/(\w+)(?:=~|!~|!=|=)"/g)].map(([, name = '']) => name);
  return [
    ...(used.length === 0 ? [`${where}: has no metric`] : []),
    ...unknown.map((name) => `${where}: ${name} does not exist`),
    ...raw.map(([name]) => `${where}: ${name} is a histogram`),
    ...[...grouped, ...selected].filter((name) => !known.has(name)).map((name) => `${where}: no label ${name}`),
  ];
}

test('each expression of the dashboard and of the alert rules has metrics and labels that exist', () => {
  expect(ofPanels.length).toBeGreaterThan(15);
  expect(ofRules.length).toBeGreaterThan(10);
  expect([...ofPanels, ...ofRules].flatMap(faultsOf)).toEqual([]);
  expect(faultsOf({ where: 'x', expr: 'sum by (colour) (busbar_queue_waiting{entry="a"})' })).toHaveLength(2);
  expect(faultsOf({ where: 'x', expr: 'busbar_waiting > 0' })).toEqual(['x: busbar_waiting does not exist']);
});

test('the variables of the dashboard are read from labels that exist', () => {
  const read = dashboard.templating.list.flatMap(({ definition }) => definition ?? []);
  const faults = read.filter((definition) => {
    const [, metric = '', label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(definition) ?? [];
    return ![...added, ...(labelsOf.get(metric) ?? [])].includes(label);
  });
  expect(faults).toEqual([]);
  expect(read).toHaveLength(3);
});

test('each gauge of the present state is on the dashboard', () => {
  const shown = ofPanels.map(({ expr }) => expr).join('\n');
  expect(Object.values(measured).flatMap(({ name }) => (shown.includes(name) ? [] : [name]))).toEqual([]);
});

test('docs/operations.md has each alert', () => {
  const documented = [...read('docs', 'operations.md').matchAll(/^\| `(Busbar\w+)`/gm)].map(([, name]) => name);
  expect(documented).toEqual(rules.map(({ alert }) => alert));
});

test('the commands that alerts name exist', () => {
  const sources = readdirSync(join(__dirname, '..', '..', 'src', 'cli'), { withFileTypes: true });
  const code = sources.filter((file) => file.isFile()).map(({ name }) => read('src', 'cli', name));
  const verbs = [...code.join('\n').matchAll(/\.command\('([a-z]+)/g)].map(([, verb]) => verb);
  const named = rules.flatMap(({ annotations }) =>
    [
      ...Object.values(annotations)
        .join(' ')
        .matchAll(/`busbar ([a-z]+)/g),
    ].map(([, verb]) => verb),
  );
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter((verb) => !verbs.includes(verb))).toEqual([]);
});

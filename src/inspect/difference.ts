/** Describes the differences between two versions of a contract, by comparing their JSON Schemas. */
import type { ContractText, EntryText } from '../bus/self-described';

/** Levels of nested schemas that are compared. Deeper differences are reported at this level. */
const depthMax = 8;
/** Maximum number of differences that are returned for each schema. */
const differencesMax = 20;

/** Returns one line for each difference of `to` from `from`: entries, kinds, and fields of their schemas. */
export function differences(from: ContractText, to: ContractText): readonly string[] {
  const before = new Map(from.entries.map((entry) => [entry.name, entry]));
  const after = new Map(to.entries.map((entry) => [entry.name, entry]));
  const added = [...after.keys()].filter((name) => !before.has(name)).map((name) => `${name} added`);
  const removed = [...before.keys()].filter((name) => !after.has(name)).map((name) => `${name} removed`);
  const changed = [...before].flatMap(([name, entry]) => {
    const other = after.get(name);
    return other ? entryDifferences(entry, other).map((what) => `${name} ${what}`) : [];
  });
  return [...changed, ...removed, ...added];
}

/** Returns the differences of one entry, such as `input amount: string, now number`. */
export function entryDifferences(from: EntryText, to: EntryText): readonly string[] {
  if (from.kind !== to.kind) return [`is a ${to.kind}, before a ${from.kind}`];
  const codes = [...new Set([...Object.keys(from.failures), ...Object.keys(to.failures)])];
  return [
    ...schemaDifferences('input', from.input, to.input),
    ...schemaDifferences('reply', from.output, to.output),
    ...codes.flatMap((code) => {
      const [before, after] = [from.failures[code], to.failures[code]];
      if (before === undefined) return [`failure ${code} added`];
      if (after === undefined) return [`failure ${code} removed`];
      return schemaDifferences(`failure ${code}`, before, after);
    }),
  ];
}

function schemaDifferences(side: string, from: string | null, to: string | null): readonly string[] {
  if (from === to || from === null || to === null) return []; // a library without JSON Schema describes nothing
  const found: string[] = [];
  compare([], JSON.parse(from), JSON.parse(to), found);
  const lines = found.length > 0 ? found : ['changed'];
  return lines.slice(0, differencesMax).map((line) => `${side} ${line}`);
}

function compare(path: readonly string[], from: unknown, to: unknown, found: string[]): void {
  if (found.length >= differencesMax || JSON.stringify(from) === JSON.stringify(to)) return;
  const at = path.length === 0 ? '' : `${path.join('.')}: `;
  if (!isSchema(from) || !isSchema(to) || path.length >= depthMax) return void found.push(`${at}changed`);
  const [before, after] = [typeOf(from), typeOf(to)];
  if (before !== after) return void found.push(`${at}${before}, now ${after}`);
  const count = found.length;
  compareFields(path, from, to, found);
  if ('items' in from && 'items' in to) compare([...path, '[]'], from.items, to.items, found);
  if (found.length === count) found.push(`${at}${describeRest(from, to)}`);
}

function compareFields(path: readonly string[], from: Schema, to: Schema, found: string[]): void {
  const [before, after] = [from.properties ?? {}, to.properties ?? {}];
  const isRequired = ({ required = [] }: Schema, name: string): boolean => required.includes(name);
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const at = [...path, name].join('.');
    const [one, other] = [before[name], after[name]];
    if (one === undefined) found.push(`${at}: added${isRequired(to, name) ? ', required' : ''}`);
    else if (other === undefined) found.push(`${at}: removed`);
    else {
      const [was, is] = [isRequired(from, name), isRequired(to, name)];
      if (was !== is) found.push(`${at}: ${is ? 'now required' : 'no longer required'}`);
      compare([...path, name], one, other, found);
    }
  }
}

interface Schema {
  readonly type?: unknown;
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly required?: readonly string[];
  readonly items?: unknown;
}
/** JSON Schemas are written by libraries, so their fields have the types of the standard. */
function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
function typeOf({ type, ...rest }: Schema): string {
  if (typeof type === 'string') return type;
  if (Array.isArray(type)) return type.map(String).join(' or ');
  const word = ['anyOf', 'oneOf', 'allOf', 'enum', 'const', '$ref'].find((one) => one in rest);
  return word ?? 'any value';
}
/** Names the rules that differ when type and fields are the same, such as `minimum 1, now 2`. */
function describeRest(from: Schema, to: Schema): string {
  const [before, after] = [new Map(Object.entries(from)), new Map(Object.entries(to))];
  const rules = [...new Set([...before.keys(), ...after.keys()])];
  const rule = rules.find((name) => JSON.stringify(before.get(name)) !== JSON.stringify(after.get(name)));
  if (rule === undefined) return 'changed';
  const text = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value).slice(0, 60));
  return `${rule} ${text(before.get(rule))}, now ${text(after.get(rule))}`;
}

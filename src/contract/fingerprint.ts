/** A short hash of what a contract says, so that two versions of a module side by side can be told apart. */
import type { StandardJSONSchemaV1 } from '@standard-schema/spec';
import { contractOf, entriesOf } from './contract';
import type { AnyContract, AnyEntry, Schema } from './types';

/**
 * Eight hex digits over names, kinds and schemas. Schemas count where their library describes them
 * (StandardJSONSchemaV1: zod from 4.2, arktype, valibot by its adapter), else only that there is one.
 */
export function fingerprint(contract: AnyContract): string {
  const lines = [...entriesOf(contract)].map(([name, entry]) => `${name} ${describe(entry)}`);
  return hash(lines.toSorted().join('\n'));
}

const known = new WeakMap<AnyContract, string>();
/** Returns the fingerprint of the contract that the entry belongs to; undefined where that is not known. */
export function fingerprintOf(entry: AnyEntry): string | undefined {
  const contract = contractOf(entry);
  if (!contract) return undefined;
  const print = known.get(contract) ?? fingerprint(contract);
  known.set(contract, print);
  return print;
}

/** One entry in one line of text, equal for equal entries. */
export function describe({ kind, schemas: { input, output, failures = {} } }: AnyEntry): string {
  const parts = [kind, shape(input, 'input')];
  if (output) parts.push(shape(output, 'output'));
  for (const [code, schema] of Object.entries(failures).toSorted(byName)) parts.push(code, shape(schema, 'output'));
  return parts.join(' ');
}

function byName([one]: [string, unknown], [other]: [string, unknown]): number {
  return one < other ? -1 : 1;
}

function shape(schema: Schema, side: 'input' | 'output'): string {
  // StandardJSONSchemaV1 is a second face that a schema may have; asking for it is how one finds out.
  const standard = schema['~standard'] as Partial<StandardJSONSchemaV1.Props>;
  try {
    return JSON.stringify(standard.jsonSchema?.[side]?.({ target: 'draft-2020-12' })) ?? '?';
  } catch {
    return '?'; // what JSON Schema cannot say, such as a Date, counts as 'some schema'
  }
}

/** FNV-1a, 32 bits: enough to tell versions apart, and needs no library where contracts are bundled. */
function hash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 0).toString(16).padStart(8, '0');
}

/** Computes a short hash of a contract, which distinguishes two versions of a module that run side by side. */
import type { StandardJSONSchemaV1 } from '@standard-schema/spec';
import { contractOf, entriesOf } from './contract';
import type { AnyContract, AnyEntry, Schema } from './types';

/**
 * Returns eight hex digits computed from names, kinds and schemas. The content of a schema counts only if its library
 * describes it by StandardJSONSchemaV1. These are zod from 4.2, arktype, and valibot by its adapter. Otherwise only its
 * existence counts.
 */
export function fingerprint(contract: AnyContract): string {
  const lines = [...entriesOf(contract)].map(([name, entry]) => `${name} ${describe(entry)}`);
  return hash(lines.toSorted().join('\n'));
}

const known = new WeakMap<AnyContract, string>();
/** Returns the fingerprint of the entry's contract; undefined when the contract is unknown. */
export function fingerprintOf(entry: AnyEntry): string | undefined {
  const contract = contractOf(entry);
  if (!contract) return undefined;
  const print = known.get(contract) ?? fingerprint(contract);
  known.set(contract, print);
  return print;
}

/** Returns one line of text for an entry, equal for equal entries. */
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
  return jsonSchemaOf(schema, side) ?? '?';
}
/** Returns the JSON Schema of a schema as text; undefined when its library does not describe it. */
export function jsonSchemaOf(schema: Schema, side: 'input' | 'output'): string | undefined {
  // The cast is safe: StandardJSONSchemaV1 is optional for a schema, and a missing method is checked below.
  const standard = schema['~standard'] as Partial<StandardJSONSchemaV1.Props>;
  try {
    return JSON.stringify(standard.jsonSchema?.[side]?.({ target: 'draft-2020-12' }));
  } catch {
    return undefined; // a type that JSON Schema cannot express, such as a Date, counts only as a schema
  }
}

/**
 * Computes FNV-1a with 32 bits. It is sufficient to distinguish versions, and adds no library to bundles of contracts.
 */
function hash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 0).toString(16).padStart(8, '0');
}

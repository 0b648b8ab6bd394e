/** Describes the contracts that an instance serves or calls, so that an operator can compare two versions. */
import { contractOf, entriesOf, moduleOf } from '../contract/contract';
import { fingerprint, jsonSchemaOf } from '../contract/fingerprint';
import type { AnyContract, AnyEntry } from '../contract/types';

/** Contracts of one module, as an instance has them. */
export interface ContractAnswer {
  /** The contract that the instance serves; null when it does not serve the module. */
  readonly served: ContractText | null;
  /** The contract with which it last sent a message to the module; null when it sent none. */
  readonly called: ContractText | null;
}
/** The entries of a contract. */
export interface ContractText {
  readonly fingerprint: string;
  readonly entries: readonly EntryText[];
}
/** An entry with its schemas as JSON Schema; null for a schema that its library does not describe. */
export interface EntryText {
  readonly name: string;
  readonly kind: AnyEntry['kind'];
  readonly input: string | null;
  readonly output: string | null;
  readonly failures: Readonly<Record<string, string | null>>;
}

/** Maximum characters of all schemas of an answer. Larger schemas are left out, so that the reply can be sent. */
const schemaCharsMax = 400_000;

export function describeContracts(
  module: string,
  served: Iterable<AnyEntry>,
  called: Iterable<AnyEntry>,
): ContractAnswer {
  return { served: textOf(contractIn(module, served)), called: textOf(contractIn(module, called)) };
}

/** Returns the contract of the first of these entries that belongs to the module. */
function contractIn(module: string, entries: Iterable<AnyEntry>): AnyContract | undefined {
  for (const entry of entries) {
    const contract = moduleOf(entry) === module ? contractOf(entry) : undefined;
    if (contract) return contract;
  }
  return undefined;
}

function textOf(contract: AnyContract | undefined): ContractText | null {
  if (!contract) return null;
  let left = schemaCharsMax;
  const schema = (...about: Parameters<typeof jsonSchemaOf>): string | null => {
    const text = jsonSchemaOf(...about);
    if (text === undefined || text.length > left) return null;
    left -= text.length;
    return text;
  };
  const entries = [...entriesOf(contract).values()].map(({ name, kind, schemas }): EntryText => {
    const failures = Object.entries(schemas.failures ?? {}).map(
      ([code, one]) => [code, schema(one, 'output')] as const,
    );
    return {
      name,
      kind,
      input: schema(schemas.input, 'input'),
      output: schemas.output ? schema(schemas.output, 'output') : null,
      failures: Object.fromEntries(failures),
    };
  });
  return { fingerprint: fingerprint(contract), entries };
}

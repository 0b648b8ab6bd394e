/** Runs the schema of a contract over a value, and says which field is wrong in words that name it. */
import { BusError, type Issue } from '../base/errors';
import type { Schema } from './types';

export type Side = 'input' | 'reply' | 'failure';

/**
 * The value as the schema gives it back. Throws Invalid, naming entry and fields.
 * Synchronous where the schema is: most are, and a promise for each message would cost more than the check.
 */
export function check(schema: Schema, value: unknown, side: Side, entry: string): unknown {
  const result = schema['~standard'].validate(value);
  // A promise of another realm is no instance of Promise here; taken for a result, its value would be undefined.
  return 'then' in result
    ? Promise.resolve(result).then((settled) => accept(settled, side, entry))
    : accept(result, side, entry);
}

type Validated = Awaited<ReturnType<Schema['~standard']['validate']>>;

function accept(result: Validated, side: Side, entry: string): unknown {
  if (!result.issues) return result.value;
  const issues = Array.from(result.issues.slice(0, issuesMax), plainIssue);
  throw new BusError('Invalid', `${side} of ${entry}: ${issues.map(sayIssue).join('; ')}`, { side, issues, entry });
}

/** A copy of plain data: libraries give instances of classes of their own, which cannot be sent. */
function plainIssue({ message, path }: NonNullable<Validated['issues']>[number]): Issue {
  const text = plainText(message, messageCharsMax);
  if (!path) return { message: text };
  return { message: text, path: Array.from(path, plainPart).slice(0, pathPartsMax) };
}
function plainPart(part: unknown): string | number {
  const key = typeof part === 'object' && part !== null && 'key' in part ? part.key : part;
  return typeof key === 'number' ? key : plainText(key, partCharsMax);
}
/** Without half of a character at its end, which could not be sent. */
function plainText(value: unknown, charsMax: number): string {
  return String(value).slice(0, charsMax).toWellFormed();
}

const issuesMax = 10; // a broken list of a million elements must not become a message of a million lines
const messageCharsMax = 1_000;
const pathPartsMax = 100;
const partCharsMax = 200;

export function sayIssue({ path, message }: Issue): string {
  return path && path.length > 0 ? `${path.map(String).join('.')}: ${message}` : message;
}

/** Checks a value against the schema of a contract, and names the invalid fields in the error. */
import { BusError, type Issue } from '../base/errors';
import type { Schema } from './types';

export type Side = 'input' | 'reply' | 'failure';

/**
 * Returns the value that the schema produces. Throws Invalid, which names the entry and the fields. It is synchronous
 * when the schema is, because a promise for each message would cost more than the check.
 */
export function check(schema: Schema, value: unknown, side: Side, entry: string): unknown {
  const result = schema['~standard'].validate(value);
  // A promise of another realm is not an instance of Promise. If it were used as the result, the value would be
  // undefined.
  return 'then' in result
    ? Promise.resolve(result).then((settled) => accept(settled, side, entry))
    : accept(result, side, entry);
}

type Validated = Awaited<ReturnType<Schema['~standard']['validate']>>;

function accept(result: Validated, side: Side, entry: string): unknown {
  if (!result.issues) return result.value;
  const issues = Array.from(result.issues.slice(0, issuesMax), plainIssue);
  throw new BusError('Invalid', `${side} of ${entry}: ${issues.map(issueMessage).join('; ')}`, { side, issues, entry });
}

/** Returns a copy of the issue as plain data, because schema libraries return class instances, which cannot be sent. */
function plainIssue({ message, path }: NonNullable<Validated['issues']>[number]): Issue {
  const text = plainText(message, messageCharsMax);
  if (!path) return { message: text };
  return { message: text, path: Array.from(path, plainPart).slice(0, pathPartsMax) };
}
function plainPart(part: unknown): string | number {
  const key = typeof part === 'object' && part !== null && 'key' in part ? part.key : part;
  return typeof key === 'number' ? key : plainText(key, partCharsMax);
}
/** Shortens the text without leaving half a surrogate pair at its end, which could not be sent. */
function plainText(value: unknown, charsMax: number): string {
  return String(value).slice(0, charsMax).toWellFormed();
}

const issuesMax = 10; // bounds the message: a wrong list of a million elements would otherwise create a million lines
const messageCharsMax = 1_000;
const pathPartsMax = 100;
const partCharsMax = 200;

export function issueMessage({ path, message }: Issue): string {
  return path && path.length > 0 ? `${path.map(String).join('.')}: ${message}` : message;
}

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
  return result instanceof Promise
    ? result.then((settled) => accept(settled, side, entry))
    : accept(result, side, entry);
}

type Validated = Awaited<ReturnType<Schema['~standard']['validate']>>;

function accept(result: Validated, side: Side, entry: string): unknown {
  if (!result.issues) return result.value;
  const issues: Issue[] = result.issues.slice(0, issuesMax).map(({ message, path }) => ({
    message,
    ...(path && { path: path.map((part) => (typeof part === 'object' ? part.key : part)) }),
  }));
  throw new BusError('Invalid', `${side} of ${entry}: ${issues.map(sayIssue).join('; ')}`, { side, issues });
}

const issuesMax = 10; // a broken list of a million elements must not become a message of a million lines

export function sayIssue({ path, message }: Issue): string {
  return path && path.length > 0 ? `${path.map(String).join('.')}: ${message}` : message;
}

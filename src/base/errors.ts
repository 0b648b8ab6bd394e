/** Errors of the bus: a table of codes, and causes of any error; long because a contract bundles this file alone. */

/**
 * Effect of a failed call. `not-sent`: the call has had no effect and will have none. `unknown`: it can have taken
 * effect, or still can.
 */
export type SendOutcome = 'not-sent' | 'unknown';

/** Details of an error, by code. */
export interface BusDetails {
  /** The input, the reply or a failure does not fit its schema. `issues` has each fault with its path. */
  Invalid: { side: 'input' | 'reply' | 'failure'; issues: readonly Issue[] } & Origin & OfList;
  /** A body or a list exceeds a limit. Nothing of it was sent. */
  TooLarge: TooManyBytes | TooManyMessages;
  /** No running instance serves the entry. Nothing was sent. */
  NoHandler: { module: string; entry?: string };
  /** The instance died while it had the request, which it can have handled. */
  ResponderLost: { instance: string };
  /** No reply arrived within `timeoutMs`. `reached` is how far the request got. */
  Timeout: { reached: 'not-sent' | 'sent' | 'waiting' | 'running' | 'answered'; timeoutMs: number };
  /** A bound is reached, in messages (`waiting`, `limit`) or in bytes (`bytes`, `limitBytes`). */
  Overloaded: { retryAfterMs: number; waiting?: number; limit?: number; bytes?: number; limitBytes?: number };
  /** The `signal` of the call aborted, for the reason `reason`. */
  Cancelled: { reason: unknown };
  /** The handler threw an error that the contract does not declare. `cause` and `errors` are taken from it. */
  HandlerFailed: { handlerError: string } & Origin & Behind;
  /** An instance, the log or a server did not respond for `waitedMs`. */
  Unreachable: { outcome: SendOutcome; waitedMs: number; cause?: string };
  /** The disk that holds `path` has less room than the write needs. */
  DiskFull: { outcome: SendOutcome; path: string; freeBytes: number; neededBytes: number };
  /** The files of the log at `path` cannot be used before a restart. */
  StoreBroken: { outcome: SendOutcome; path: string; cause: string };
  /** Messages of `bytes` wait in the spool for the brokers, the oldest since `oldestMs` (0 if not known yet). */
  SpoolFull: { bytes: number; limitBytes: number; oldestMs: number };
  /** The files of the spool at `path` cannot be used before a restart. */
  SpoolBroken: { outcome: SendOutcome; path: string; cause: string };
  /** The bus was closed `sinceMs` ago. */
  Closed: { outcome: SendOutcome; sinceMs: number };
  /** The instance does not know the entry. */
  Incompatible: { entry: string; instance?: string };
  /**
   * A setting, a name or a group is not what the caller expected, because another process changed or uses it. Or `key`
   * is an id that was given to another message.
   */
  Conflict: { key: string; expected?: number; found?: number } & OfList;
  /** The user of this process lacks a permission, which `what` names. */
  NotAllowed: { what: string };
  /** An option, a contract or a call is wrong. `faults` has one line for each mistake. */
  Config: { faults: readonly string[] } & OfList;
}
/** Code of a {@link BusError}. */
export type BusCode = keyof BusDetails;

/** Origin of an error of a request, where known. */
export interface Origin {
  /** Name of the entry, `module.entry`. */
  entry?: string;
  /** Instance that responded, `module#xxxx`. */
  instance?: string;
  /** Fingerprints of the contract at both ends. If they differ, two versions of the contract are running. */
  contracts?: { readonly caller?: string; readonly responder?: string };
}
/** First body of a list that failed: its index, from 0, and the id of its message. */
interface OfList {
  index?: number;
  id?: string;
}
/** A body, or a list of bodies, with more bytes than allowed. */
interface TooManyBytes extends OfList {
  bytes: number;
  limitBytes: number;
  messages?: undefined;
  limitMessages?: undefined;
}
/** A list with more messages than one call accepts. */
interface TooManyMessages extends OfList {
  messages: number;
  limitMessages: number;
  bytes?: undefined;
  limitBytes?: undefined;
}

/** One fault of a value: its description, and the path of the field from the outside in. */
export interface Issue {
  readonly message: string;
  readonly path?: readonly PropertyKey[];
}

interface CodeRow<C extends BusCode> {
  readonly retryable: boolean | ((details: Partial<BusDetails[C]>) => boolean);
  readonly remedy: string | ((details: Partial<BusDetails[C]>) => string);
}
/** Remedy for a list with more messages, or more bytes, than one call accepts. */
export const divideRemedy = 'Divide the list, and send the next part when the one before has resolved.';

/** Properties of each code: whether the error is retryable, and the remedy. No other code decides these. */
export const busCodes: { readonly [C in BusCode]: CodeRow<C> } = {
  Invalid: {
    retryable: false,
    remedy: ({ side }) =>
      side === 'reply' || side === 'failure'
        ? 'Repair the handler that the message names, or deploy one version of the contract at both ends.'
        : 'Send what the contract describes.',
  },
  TooLarge: {
    retryable: false,
    remedy: ({ messages }) =>
      messages === undefined ? 'Store the bytes elsewhere and send a reference.' : divideRemedy,
  },
  NoHandler: {
    retryable: true,
    remedy: 'Start an instance that serves the contract, or pass waitForInstanceMs to wait for one.',
  },
  ResponderLost: {
    retryable: false,
    remedy: 'The request can have been done. Declare the entry `idempotent` to have it sent again to another instance.',
  },
  Timeout: {
    retryable: ({ reached }) => reached === 'not-sent',
    remedy: ({ reached }) =>
      reached === 'not-sent'
        ? 'The request was not sent, so it was not done. Raise timeoutMs, or find what took the time before.'
        : 'The request can have been done. Raise timeoutMs, or find what is slow.',
  },
  Overloaded: { retryable: true, remedy: 'Wait retryAfterMs, add instances, or raise concurrency.' },
  Cancelled: { retryable: false, remedy: 'Nothing needs to be done: the caller aborted the call.' },
  HandlerFailed: { retryable: false, remedy: 'Read the error of the handler at the instance that the message names.' },
  Unreachable: {
    retryable: ({ outcome }) => outcome === 'not-sent',
    remedy: ({ outcome }) =>
      outcome === 'not-sent'
        ? 'Nothing was sent. Check that what the message names is running (`busbar status`), then send it again.'
        : 'It can have arrived. Check that what the message names is running (`busbar status`). ' +
          'Send it again only if doing it twice is harmless.',
  },
  DiskFull: {
    retryable: ({ outcome }) => outcome === 'not-sent',
    remedy: 'Free space on the disk that holds the path. Writing then resumes without a restart.',
  },
  StoreBroken: {
    retryable: false,
    remedy: 'Repair the files that the cause names, then restart the process. It reads and writes nothing until then.',
  },
  SpoolFull: {
    retryable: true,
    remedy:
      'Nothing of the call was kept. Find out why the brokers accept nothing (`busbar status`), or raise ' +
      'spoolBytesMax.',
  },
  SpoolBroken: {
    retryable: false,
    remedy: 'Repair the files that the cause names, then restart the process. It accepts no work until then.',
  },
  Closed: {
    retryable: false,
    remedy: ({ outcome }) =>
      outcome === 'unknown'
        ? 'The call can have been done: the bus was closed before the answer arrived. Close the bus after its calls.'
        : 'Nothing was sent. Open a new bus, since this one was closed.',
  },
  Incompatible: { retryable: false, remedy: 'Deploy the version of the module that knows the entry.' },
  Conflict: { retryable: false, remedy: 'Read the newest version and decide again.' },
  NotAllowed: {
    retryable: false,
    remedy: 'Grant the missing permission to the user, or connect as a user that has it.',
  },
  Config: {
    retryable: false,
    remedy: 'Correct the options or the call that the message names. The same call fails until then.',
  },
};

// Details that arrived over the network can be missing.
function remedyOf<C extends BusCode>(code: C, details: BusDetails[C]): string {
  const { remedy } = busCodes[code];
  return typeof remedy === 'string' ? remedy : remedy(details ?? {});
}
function isRetryable<C extends BusCode>(code: C, details: BusDetails[C]): boolean {
  const { retryable } = busCodes[code];
  return typeof retryable === 'boolean' ? retryable : retryable(details ?? {});
}

/** Arguments after the details. A Config error must have a remedy of its own: without one it does not compile. */
type More<C extends BusCode> = C extends 'Config'
  ? [cause: unknown, remedy: string]
  : [cause?: unknown, remedy?: string];

/**
 * An error of the bus itself. `details` depends on `code`; narrow it with {@link isBusError} or `switch (error.code)`.
 */
export class BusError<C extends BusCode = BusCode> extends Error {
  readonly code: C;
  readonly details: BusDetails[C];
  /** True if the same call can succeed when it is repeated, without the risk that it takes effect twice. */
  readonly retryable: boolean;
  /** Instruction for the reader of the error. */
  readonly remedy: string;

  /** Creates an error. Pass a `remedy` if you know more than the code and the details. */
  constructor(code: C, message: string, details: BusDetails[C], ...[cause, remedy]: More<C>) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'BusError';
    this.code = code;
    this.details = details;
    this.retryable = isRetryable(code, details);
    this.remedy = remedy ?? remedyOf(code, details);
  }
}
/** Returns the error of one body of a list, with its index and id in the details and in the message. */
export function ofList(error: unknown, index: number, count: number, id: string): Error {
  const place = `body ${index} of ${count} (counted from 0, id ${id})`;
  if (!isBusError(error)) return new Error(`${place}: ${errorMessage(error)}`, { cause: error });
  const message = `${place}: ${error.message}`; // causes are not repeated in the text
  const { code, details, cause, remedy } = error;
  // The spread keeps the details of the code; TypeScript cannot follow that through the union of codes.
  return new BusError(code, message, { ...details, index, id } as BusDetails[BusCode], cause, remedy);
}

/** Returns the error for a call of which a part can have taken effect: its outcome becomes 'unknown'. */
export function inPart(error: unknown): unknown {
  if (!isBusError(error, 'Unreachable', 'Closed', 'DiskFull', 'StoreBroken', 'SpoolBroken')) return error;
  if (error.details.outcome === 'unknown') return error;
  const outcome = 'unknown';
  // One case for each code, since the type of the details depends on it.
  switch (error.code) {
    case 'Closed':
      return new BusError(error.code, error.message, { ...error.details, outcome }, error);
    case 'DiskFull':
      return new BusError(error.code, error.message, { ...error.details, outcome }, error);
    case 'StoreBroken':
      return new BusError(error.code, error.message, { ...error.details, outcome }, error);
    case 'SpoolBroken':
      return new BusError(error.code, error.message, { ...error.details, outcome }, error);
    case 'Unreachable':
      return new BusError(error.code, error.message, { ...error.details, outcome }, error);
  }
}

/** A {@link BusError} as a union over its codes, so that `switch (error.code)` narrows `details`. */
export type AnyBusError<C extends BusCode = BusCode> = { [K in C]: BusError<K> }[C];

/** A failure that the contract declares. `request` rejects with it; `tryRequest` returns it. */
export class Failure<K extends string = string, D = unknown> extends Error {
  readonly code: K;
  readonly data: D;
  /** Entry that declares it, `module.entry`. */
  readonly entry: string;

  /** Creates a failure. Handlers call `context.fail` instead, which checks the data. */
  constructor(entry: string, code: K, data: D) {
    super(`${entry} failed: ${code}`);
    this.name = 'Failure';
    this.entry = entry;
    this.code = code;
    this.data = data;
  }
}

/**
 * Returns whether `error` is a {@link BusError}, with one of `codes` if any are given. It works even if two copies of
 * the package are loaded.
 *
 * @example
 * import { isBusError } from 'busbar';
 *
 * try {
 *   await bus.submit(photos.resize, { photoId: 'p1' });
 * } catch (error) {
 *   if (!isBusError(error, 'Overloaded')) throw error;
 *   later(error.details.retryAfterMs);
 * }
 */
export function isBusError<C extends BusCode = BusCode>(
  error: unknown,
  ...codes: readonly C[]
): error is AnyBusError<C> {
  // The cast only reads `code`; the check decides whether it is one of the codes.
  return (
    error instanceof Error &&
    error.name === 'BusError' &&
    (codes.length === 0 || codes.includes((error as BusError<C>).code))
  );
}

/**
 * Classification of an error for code that repeats a call without end:
 * - `transient`: the same call can succeed later, without intervention.
 * - `operator`: it fails until an operator changes a permission, an option or a topic. Report it immediately, and retry
 * at long intervals.
 * - `final`: the same call fails on every attempt. Change the call, or give it up.
 */
export type Outlook = 'transient' | 'operator' | 'final';

/** Outlook of each code. The table is exhaustive, so that a new code does not compile without a decision. */
const outlooks: { readonly [C in BusCode]: Outlook } = {
  Invalid: 'final',
  TooLarge: 'final',
  NoHandler: 'transient',
  ResponderLost: 'transient',
  Timeout: 'transient',
  Overloaded: 'transient',
  Cancelled: 'final',
  HandlerFailed: 'transient',
  Unreachable: 'transient',
  DiskFull: 'transient',
  StoreBroken: 'operator',
  SpoolFull: 'transient',
  SpoolBroken: 'operator',
  Closed: 'final',
  Incompatible: 'operator',
  Conflict: 'final',
  NotAllowed: 'operator',
  Config: 'operator',
};
/** Names of errors that JavaScript throws for a value that the code cannot handle. The same value fails each time. */
const finalNames: ReadonlySet<string> = new Set(['TypeError', 'RangeError', 'SyntaxError']);

/**
 * Returns the outlook of the call that threw the error. An unknown error counts as transient, because giving up on it
 * could lose a message.
 */
export function outlookOf(thrown: unknown): Outlook {
  const error = readable(thrown);
  if (isBusError(error)) return outlooks[error.code];
  return error instanceof Error && finalNames.has(error.name) ? 'final' : 'transient';
}

/** Returns the words of an instruction as a sentence. */
export function sentence(words: string): string {
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!]$/.test(words) ? '' : '.'}`;
}

/** Returns the end of a sentence about an unknown name: a suggestion, or nothing. */
export function didYouMean(near: string | undefined, before = ''): string {
  return near === undefined ? '' : `; did you mean ${before}${near}?`;
}

/** Returns the known name that a misspelt or shortened one most likely means, or undefined if none is similar. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const wrong = name.toLowerCase().slice(0, 80);
  if (wrong === '') return undefined;
  const near = known
    .map((right) => ({
      right,
      edits: right.toLowerCase().startsWith(wrong) ? 1 : editsBetween(wrong, right.toLowerCase()),
    }))
    .filter(({ right, edits }) => edits <= Math.max(1, Math.floor(right.length / 3)))
    .toSorted((a, b) => a.edits - b.edits);
  return near[0]?.right;
}

/** Returns the number of letters to insert, delete or replace, and of adjacent letters to swap. */
function editsBetween(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  let above: number[] = [];
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (from[i - 1] === to[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1];
      const edits = Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      next.push(swapped ? Math.min(edits, (above[j - 2] ?? 0) + 1) : edits);
    }
    [above, row] = [row, next];
  }
  return row[to.length] ?? 0;
}

/** Returns one line about any thrown value, with its causes, for texts that quote it. Never throws. */
export function errorMessage(thrown: unknown): string {
  try {
    if (isError(thrown)) return causesMessage(String(thrown.message || thrown.name), thrown);
    return typeof thrown === 'string' ? thrown : `thrown: ${String(thrown)}`;
  } catch {
    // An object without a prototype, or one that throws when it is read.
    return 'thrown: a value that cannot be shown as text';
  }
}

/**
 * Returns a value that foreign code threw. If reading it would throw or yield other types than strings, returns an
 * Error that describes it.
 */
export function readable(thrown: unknown): unknown {
  try {
    if (!(thrown instanceof Error)) return thrown;
    const texts: readonly unknown[] = [thrown.name, thrown.message, thrown.stack ?? ''];
    return texts.every((text) => typeof text === 'string') ? thrown : new Error(errorMessage(thrown));
  } catch {
    return new Error(errorMessage(thrown)); // a Proxy, or a getter that throws
  }
}

// --- causes of an error, and the errors of an AggregateError, as plain data within limits

/** Facts about an error that caused another one or belongs to an AggregateError. */
export interface CauseFacts extends Behind {
  /** Message of the error. The error's code is appended if the message does not contain it. */
  readonly message: string;
}
/** Plain data about the errors behind an error. A field is absent if there are none. */
export interface Behind {
  readonly cause?: CauseFacts;
  /** Errors of an AggregateError. */
  readonly errors?: readonly CauseFacts[];
}

/** Errors kept behind one error. A chain of causes can be circular, and an AggregateError can have any number. */
const errorsMax = 16;
/** Errors kept of one AggregateError. One more entry contains the number of omitted ones. */
const siblingsMax = 5;
/** Characters kept of one message. An error text can contain a whole response. */
const charsMax = 500;
/** Characters of causes in one line, after which no further cause is added. Log lines stay readable. */
const describeCharsMax = 1_500;

const tags: ReadonlySet<string> = new Set(['[object Error]', '[object DOMException]']);
/** Returns whether the value is an error, including one of another realm such as a vm context. */
export function isError(thrown: unknown): thrown is Error {
  return thrown instanceof Error || tags.has(Object.prototype.toString.call(thrown));
}

/** Returns whether a system call, such as one of `node:fs`, failed with one of `codes`, such as ENOENT. */
export function isCode(error: unknown, ...codes: readonly string[]): boolean {
  // Not `instanceof Error`: in jest, errors of the file system belong to another realm.
  return typeof error === 'object' && error !== null && 'code' in error && codes.includes(String(error.code));
}

/** Returns the errors behind any thrown value. Never throws, even if a getter does. */
export function behind(thrown: unknown): Behind {
  return collect(thrown, { left: errorsMax, seen: new Set([thrown]) });
}

interface Budget {
  left: number;
  readonly seen: Set<unknown>;
}

function collect(thrown: unknown, budget: Budget): Behind {
  try {
    if (!isError(thrown)) return {};
    // Read without a check: the code below checks whether there are causes or errors.
    const { cause, errors } = thrown as { readonly cause?: unknown; readonly errors?: unknown };
    const first = cause === undefined ? undefined : facts(cause, budget);
    const all = Array.isArray(errors) ? collectAll(errors, budget) : [];
    return { ...(first && { cause: first }), ...(all.length > 0 && { errors: all }) };
  } catch {
    return {}; // a Proxy, or a getter that throws
  }
}

function collectAll(errors: readonly unknown[], budget: Budget): readonly CauseFacts[] {
  const kept = errors.slice(0, siblingsMax).flatMap((one) => facts(one, budget) ?? []);
  const left = errors.length - kept.length;
  return left > 0 ? [...kept, { message: `${left} more` }] : kept;
}

function facts(thrown: unknown, budget: Budget): CauseFacts | undefined {
  if (budget.left <= 0 || budget.seen.has(thrown)) return undefined;
  budget.left--;
  budget.seen.add(thrown);
  return { message: messageOf(thrown), ...collect(thrown, budget) };
}

function messageOf(thrown: unknown): string {
  try {
    if (!isError(thrown)) return cut(String(thrown));
    const { code } = thrown as { readonly code?: unknown }; // only read: errors of Node.js have one
    const text = String(thrown.message || thrown.name);
    return cut(typeof code === 'string' && !text.includes(code) ? `${text} (${code})` : text);
  } catch {
    return 'a value that cannot be shown as text';
  }
}
/**
 * Returns at most {@link charsMax} characters. Half of a surrogate pair at the end is replaced, because it cannot be
 * encoded as UTF-8.
 */
function cut(text: string): string {
  return text.slice(0, charsMax).toWellFormed();
}

/** Returns the messages of all errors behind one, outermost first. */
export function causeLines({ cause, errors = [] }: Behind): readonly string[] {
  return [...(cause ? [cause] : []), ...errors].flatMap((one) => [one.message, ...causeLines(one)]);
}

/**
 * Returns the line with the causes that it does not contain yet: `fetch failed; cause: connect ECONNREFUSED [::1]:9`.
 */
export function causesMessage(line: string, thrown: unknown): string {
  let text = line;
  for (const message of causeLines(behind(thrown))) {
    if (text.length - line.length > describeCharsMax) break;
    if (!text.includes(message)) text += `; cause: ${message}`;
  }
  return text;
}

/** Returns whether a value from the network or the disk is a {@link Behind} within the limits. */
export function isBehind(value: unknown, left = errorsMax): value is Behind {
  if (typeof value !== 'object' || value === null) return false;
  const { cause, errors } = value as { readonly cause?: unknown; readonly errors?: unknown }; // each is checked
  const areErrors = errors === undefined || (Array.isArray(errors) && errors.length <= siblingsMax + 1);
  if (!areErrors) return false;
  const all: readonly unknown[] = [...(cause === undefined ? [] : [cause]), ...((errors as unknown[]) ?? [])];
  return all.every((one) => left > 0 && isBehind(one, left - 1) && 'message' in one && typeof one.message === 'string');
}

/** Recreates an error from its facts: with its causes, but without its class and stack. */
export function errorOf({ message, cause, errors }: CauseFacts): Error {
  const options = cause === undefined ? undefined : { cause: errorOf(cause) };
  const error = errors ? new AggregateError(errors.map(errorOf), message, options) : new Error(message, options);
  error.stack = `${error.name}: ${message}`; // the stack of this function would point at the wrong place
  return error;
}

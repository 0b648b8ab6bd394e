/**
 * Runs one verb: opens the bus, handles signals, timeouts and closed pipes, and ends the process with the exit code.
 */
import { hostname, userInfo } from 'node:os';
import { createInterface } from 'node:readline';
import type { Bus } from '../index';
import type { Inspection, Inspector, InspectorParts } from '../inspect';
import { sleep, systemClock } from '../base/clock';
import { isBusError } from '../base/errors';
import { asTyped, duration } from './args';
import { explain, exitOf, exits, TooSlow, Usage, type Exit } from './exit';
import { Output, type Form } from './output';

/**
 * Options that every verb accepts. The options of the bus are not among them, because they were written into variables.
 */
export interface Everywhere {
  readonly output?: string;
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly columns?: string;
  readonly sort?: string;
  readonly timeout?: string;
  readonly yes?: boolean;
}

/** The services and functions that a verb uses. */
export interface Desk extends LocalDesk {
  readonly inspector: Inspector;
  readonly parts: InspectorParts;
  readonly bus: Bus;
  readonly settings: Inspection['settings'];
}
/** The functions that a verb uses which opens no bus. */
export interface LocalDesk {
  readonly out: Output;
  /**
   * Aborts when the user stops the command, or when the reader of the output closes the pipe. For a verb that ends by
   * itself it also aborts at `--timeout`, with the reason TooSlow.
   */
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /**
   * Prompts on a terminal and resolves with the answer; `--yes` skips the prompt. Rejects with Usage without a terminal
   * and without `--yes`.
   */
  confirm(question: string): Promise<boolean>;
  /** The user and the host that the audit topic records for a change. */
  readonly operator: Operator;
}
/** The person that runs the command, as the machine knows it. */
export interface Operator {
  readonly user: string;
  readonly host: string;
}
export interface Verb {
  (desk: Desk): Promise<Exit>;
}
export interface LocalVerb {
  (desk: LocalDesk): Promise<Exit>;
}
export interface How {
  /** Timeout of the verb, in ms. Infinity is for verbs that end by themselves or are stopped by the user. */
  readonly limitMs?: number;
  /**
   * True when the verb ends by itself after the signal. It is then awaited, because leaving early would lose its report
   * of what was changed.
   */
  readonly stopsItself?: boolean;
}

const limitMsDefault = 30_000;
const answerMsMost = 2_000;
/** Timeout for closing the bus, so that a stalled close does not hold the command. */
const closeMs = 2_000;
/**
 * Timeout for closing after servers did not respond, because they will not respond to the requests of the close either.
 */
const closeUnansweredMs = 300;
/**
 * Maximum number of different messages about servers that do not respond. A cluster can have many brokers, and each has
 * its own message.
 */
const waitingLinesMax = 5;

export async function run(options: Everywhere, how: How, verb: Verb): Promise<void> {
  await end(options, () => opened(options, how, verb));
}
/** Runs a verb that opens no bus. */
export async function runLocal(options: Everywhere, how: How, verb: LocalVerb): Promise<void> {
  await end(options, () => withoutBus(options, how, verb));
}

async function end(options: Everywhere, work: () => Promise<Exit>): Promise<void> {
  process.exitCode = await guarded(options, work);
  await written();
  // End the process explicitly. An open prompt or a bus that does not close could otherwise hold it.
  process.exit();
}

/** Resolves when all output was flushed or its reader closed the pipe. */
async function written(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.destroyed || stream.writableLength === 0) continue;
    await new Promise<void>((resolve) => {
      stream.once('close', resolve);
      stream.write('', () => resolve());
    });
  }
}

async function guarded(options: Everywhere, work: () => Promise<Exit>): Promise<Exit> {
  try {
    return await work();
  } catch (error) {
    process.stderr.write(`${asTyped(explain(error), options)}\n`);
    return exitOf(error);
  }
}

/** Returns what all verbs use, and the limits of the command. */
function deskOf(options: Everywhere, how: How) {
  const out = outputOf(options);
  const given = options.timeout === undefined ? undefined : duration('--timeout', options.timeout);
  const limitMs = how.limitMs ?? given ?? limitMsDefault;
  const stop = stopped();
  if (how.stopsItself && given !== undefined)
    void sleep(systemClock, given, stop.signal).then(() => stop.abort(tooSlow(given)));
  const nowMs = (): number => systemClock.now();
  const confirm = (question: string): Promise<boolean> => ask(question, options.yes ?? false, stop.signal);
  return { limitMs, stop, desk: { out, signal: stop.signal, nowMs, confirm, operator: operator() } };
}

function operator(): Operator {
  const { SUDO_USER: sudo } = process.env;
  return { user: sudo ?? userName(), host: hostname() };
}
function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return `user ${process.getuid?.() ?? '?'}`; // a container without an entry for the user
  }
}

async function withoutBus(options: Everywhere, how: How, verb: LocalVerb): Promise<Exit> {
  const { limitMs, stop, desk } = deskOf(options, how);
  const work = verb(desk);
  work.catch(() => undefined); // an error after the race has ended must not become an unhandled rejection
  return how.stopsItself ? ended(work, stop) : Promise.race([work, stop.early, tooLong(limitMs)]);
}

async function opened(options: Everywhere, how: How, verb: Verb): Promise<Exit> {
  const { limitMs, stop, desk } = deskOf(options, how);
  const { inspect } = await import('../inspect');
  const opening = inspect({ answerMs: Math.min(answerMsMost, limitMs), waiting: describeOnce() });
  const inspection = await Promise.race([opening, stop.early, tooLong(limitMs)]);
  if (typeof inspection === 'number') return inspection;
  const { inspector, parts, bus, settings } = inspection;
  let limitOfCloseMs = closeMs;
  try {
    const work = verb({ ...desk, inspector, parts, bus, settings });
    work.catch(() => undefined); // an error after the race has ended must not become an unhandled rejection
    return how.stopsItself ? await ended(work, stop) : await Promise.race([work, stop.early, tooLong(limitMs)]);
  } catch (error) {
    if (isBusError(error, 'Unreachable')) limitOfCloseMs = closeUnansweredMs;
    throw error;
  } finally {
    await Promise.race([inspection.close(), sleep(systemClock, limitOfCloseMs)]);
  }
}

/** Returns the exit code of a verb that ends by itself. A verb does not distinguish a signal from `--timeout`. */
async function ended(work: Promise<Exit>, { signal }: Stop): Promise<Exit> {
  const exit = await work;
  return exit === exits.interrupted && signal.reason instanceof TooSlow ? exits.timedOut : exit;
}

/** Returns a function that writes each different message once to stderr, up to a maximum. */
export function describeOnce(): (message: string) => void {
  const lines = new Set<string>();
  return (message) => {
    if (lines.has(message) || lines.size >= waitingLinesMax) return;
    lines.add(message);
    process.stderr.write(`busbar: ${message}\n`);
  };
}

async function tooLong(limitMs: number): Promise<never> {
  if (limitMs === Infinity) return new Promise<never>(() => undefined);
  await sleep(systemClock, limitMs);
  throw tooSlow(limitMs);
}
function tooSlow(limitMs: number): TooSlow {
  return new TooSlow(`no result within ${limitMs} ms. Raise the limit with --timeout`);
}

interface Stop {
  readonly signal: AbortSignal;
  /** Aborts the signal without a signal of the user. */
  readonly abort: (reason: Error) => void;
  /** Resolves with the exit code when the user stops the command. */
  readonly early: Promise<Exit>;
}

function stopped(): Stop {
  const controller = new AbortController();
  const early = new Promise<Exit>((resolve) => {
    const end = (exit: Exit): void => {
      if (controller.signal.aborted) process.exit(exits.interrupted);
      controller.abort();
      resolve(exit);
    };
    process.on('SIGINT', () => end(exits.interrupted));
    process.on('SIGTERM', () => end(exits.interrupted));
    process.stdout.removeAllListeners('error'); // from here on a closed pipe ends the verb first
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error;
        if (!controller.signal.aborted) end(exits.done); // the reader closed the pipe, which is not an error
      });
    }
  });
  return { signal: controller.signal, abort: (reason) => controller.abort(reason), early };
}

const forms: readonly string[] = ['table', 'wide', 'names', 'json', 'jsonl'] satisfies Form[];

function outputOf({ output, json, raw, columns, sort }: Everywhere): Output {
  const given = json ? 'json' : output;
  if (given !== undefined && !forms.includes(given)) throw new Usage(`-o ${given} is not one of ${forms.join(', ')}`);
  const { stdout, stderr, env } = process;
  return new Output({
    // The cast is safe: the value was checked against `forms` above.
    form: (given as Form | undefined) ?? (stdout.isTTY ? 'table' : 'lines'),
    columns: columns?.split(','),
    sort,
    width: stdout.columns || Number(env['COLUMNS']) || 80,
    bytes: raw ? 'hex' : 'counted',
    write: (text) => void stdout.write(text),
    caughtUp: () => (stdout.writableNeedDrain ? new Promise((resolve) => stdout.once('drain', resolve)) : undefined),
    warn: (text) => void stderr.write(text),
    isLive: stderr.isTTY,
  });
}

async function ask(question: string, yes: boolean, signal: AbortSignal): Promise<boolean> {
  if (yes) return true;
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY)
    throw new Usage('without a terminal no confirmation is possible. Pass --yes, or --dry-run to change nothing');
  const terminal = createInterface({ input: stdin, output: stderr });
  terminal.on('SIGINT', () => process.emit('SIGINT'));
  try {
    return await new Promise<boolean>((resolve) => {
      signal.addEventListener('abort', () => resolve(false), { once: true });
      terminal.on('close', () => resolve(false));
      terminal.question(`${question} [y/N] `, (answer) => resolve(/^y(es)?$/i.test(answer.trim())));
    });
  } finally {
    terminal.close();
  }
}

/** Runs one verb: opens the bus, minds signals, time and closed pipes, and ends with the right code. */
import { createInterface } from 'node:readline';
import type { Bus } from '../index';
import type { Inspection, Inspector, InspectorParts } from '../inspect';
import { sleep, systemClock } from '../base/clock';
import { isBusError } from '../base/errors';
import { asTyped, duration } from './args';
import { explain, exitOf, exits, TooSlow, Usage, type Exit } from './exit';
import { Output, type Form } from './output';

/** Options that every verb takes. Those of the bus are variables by now. */
export interface Everywhere {
  readonly output?: string;
  readonly json?: boolean;
  readonly raw?: boolean;
  readonly timeout?: string;
  readonly yes?: boolean;
}

/** What a verb works with. */
export interface Desk {
  readonly inspector: Inspector;
  readonly parts: InspectorParts;
  readonly bus: Bus;
  readonly settings: Inspection['settings'];
  readonly out: Output;
  /** Aborts when the user or the reader of the output has had enough. */
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** Asks on a terminal; elsewhere only --yes says yes, and Usage is thrown without it. */
  confirm(question: string): Promise<boolean>;
}
export interface Verb {
  (desk: Desk): Promise<Exit>;
}
export interface How {
  /** How long the verb may take; Infinity for what ends by itself or by its user. */
  readonly limitMs?: number;
  /** Whether it stops by itself soon after the signal, and must not be left before. */
  readonly stopsItself?: boolean;
}

const limitMsDefault = 30_000;
const answerMsMost = 2_000;
/** A bus that does not close in this time is left to the end of the process. */
const closeMs = 2_000;
/** The same when servers did not answer, so they will not answer what closing sends either. */
const closeUnansweredMs = 300;
/** Different lines about servers that do not answer; a cluster can have many brokers. */
const waitingLinesMax = 5;

export async function run(options: Everywhere, how: How, verb: Verb): Promise<void> {
  process.exitCode = await guarded(options, how, verb);
  await written();
  // Nothing may hold the process now: not a terminal that was asked, nor a bus that does not close.
  process.exit();
}

/** Resolves when all that was written has left, or nobody reads it any more. */
async function written(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    if (stream.destroyed || stream.writableLength === 0) continue;
    await new Promise<void>((resolve) => {
      stream.once('close', resolve);
      stream.write('', () => resolve());
    });
  }
}

async function guarded(options: Everywhere, how: How, verb: Verb): Promise<Exit> {
  try {
    return await opened(options, how, verb);
  } catch (error) {
    process.stderr.write(`${asTyped(explain(error), options)}\n`);
    return exitOf(error);
  }
}

async function opened(options: Everywhere, how: How, verb: Verb): Promise<Exit> {
  const out = outputOf(options);
  const given = options.timeout === undefined ? undefined : duration('--timeout', options.timeout);
  const limitMs = how.limitMs ?? given ?? limitMsDefault;
  const stop = stopped();
  const { inspect } = await import('../inspect');
  const opening = inspect({ answerMs: Math.min(answerMsMost, limitMs), waiting: sayOnce() });
  const inspection = await Promise.race([opening, stop.early, tooLong(limitMs)]);
  if (typeof inspection === 'number') return inspection;
  const { inspector, parts, bus, settings } = inspection;
  const nowMs = (): number => systemClock.now();
  const confirm = (question: string): Promise<boolean> => ask(question, options.yes ?? false, stop.signal);
  let limitOfCloseMs = closeMs;
  try {
    const work = verb({ inspector, parts, bus, settings, out, signal: stop.signal, nowMs, confirm });
    work.catch(() => undefined); // it is left behind when the race is over
    return how.stopsItself ? await work : await Promise.race([work, stop.early, tooLong(limitMs)]);
  } catch (error) {
    if (isBusError(error, 'Unreachable')) limitOfCloseMs = closeUnansweredMs;
    throw error;
  } finally {
    await Promise.race([inspection.close(), sleep(systemClock, limitOfCloseMs)]);
  }
}

/** Writes each different line once, to stderr. */
function sayOnce(): (message: string) => void {
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
  throw new TooSlow(`nothing came of it within ${limitMs} ms; give it more with --timeout`);
}

interface Stop {
  readonly signal: AbortSignal;
  /** Resolves with the exit code when it aborts. */
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
    for (const stream of [process.stdout, process.stderr]) {
      stream.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EPIPE') throw error;
        if (!controller.signal.aborted) end(exits.done); // whoever read had enough
      });
    }
  });
  return { signal: controller.signal, early };
}

const forms: readonly string[] = ['table', 'json', 'jsonl'] satisfies Form[];

function outputOf({ output, json, raw }: Everywhere): Output {
  const given = json ? 'json' : output;
  if (given !== undefined && !forms.includes(given)) throw new Usage(`-o ${given} is none of ${forms.join(', ')}`);
  const { stdout, stderr, env } = process;
  return new Output({
    // The cast: it was just found among the forms.
    form: (given as Form | undefined) ?? (stdout.isTTY ? 'table' : 'lines'),
    width: stdout.columns || Number(env['COLUMNS']) || 80,
    bytes: raw ? 'hex' : 'counted',
    write: (text) => void stdout.write(text),
    caughtUp: () => (stdout.writableNeedDrain ? new Promise((resolve) => stdout.once('drain', resolve)) : undefined),
    warn: (text) => void stderr.write(text),
  });
}

async function ask(question: string, yes: boolean, signal: AbortSignal): Promise<boolean> {
  if (yes) return true;
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) throw new Usage('nobody can be asked here: say --yes, or --dry-run to only see');
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

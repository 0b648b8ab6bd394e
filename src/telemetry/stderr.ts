/** Writes the log of a bus to standard error. A bus without a line does not load pino. */
import type { LogLevel, Notice, Notices } from '../base/notices';
import { levelBy, levelOf, writeNotice } from './log';
import type { LoggerParts } from './logger';

/** Options of {@link logToStderr}. */
export interface StderrParts extends Pick<LoggerParts, 'fields' | 'write'> {
  readonly notices: Pick<Notices, 'watch' | 'watchFailures'>;
  readonly level: LogLevel;
  /** @default text on a terminal, json elsewhere */
  readonly format?: LoggerParts['format'] | undefined;
}

/**
 * Writes the notices from `level` up to standard error until the returned function is called. The setting `logLevel`
 * changes the level. Above the level debug it does not make the bus create notices of messages that succeed.
 */
export function logToStderr({ notices, level: own, ...form }: StderrParts): () => void {
  let level = own;
  let routine: (() => void) | undefined;
  let write: ((notice: Notice) => void) | undefined;
  /** Lines from before pino was loaded. Loading takes one turn of the event loop, which bounds them. */
  const waiting: Notice[] = [];

  function setLevel(next: LogLevel): void {
    level = next;
    routine?.();
    routine = level === 'debug' ? notices.watch(() => undefined) : undefined;
  }
  function take(notice: Notice): void {
    if (notice.type === 'setting') {
      const next = levelBy(notice, own);
      if (next !== undefined && isLevel(next)) setLevel(next);
    }
    if (ranks[levelOf(notice)] < ranks[level]) return;
    if (write) return write(notice);
    waiting.push(notice);
    if (waiting.length === 1) void openWriter(form).then(begin);
  }
  function begin(opened: (notice: Notice) => void): void {
    for (const notice of waiting.splice(0)) opened(notice);
    write = opened;
  }

  setLevel(own);
  const stop = notices.watchFailures(take);
  return () => {
    stop();
    routine?.();
  };
}

const ranks: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };
function isLevel(text: string): text is LogLevel {
  return Object.hasOwn(ranks, text);
}

async function openWriter({ format, fields, write }: Pick<StderrParts, 'format' | 'fields' | 'write'>) {
  const [{ openLogger }, { isatty }] = await Promise.all([import('./logger'), import('node:tty')]);
  const chosen = format ?? (isatty(stderr) ? 'text' : 'json');
  const logger = openLogger({ level: 'debug', format: chosen, fields, fd: stderr, ...(write && { write }) });
  return (notice: Notice) => writeNotice(logger, notice);
}
const stderr = 2;

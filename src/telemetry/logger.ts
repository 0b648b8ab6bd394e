/** Creates the pino logger of a host, which writes JSON lines or readable text lines. */
import pino, { type Logger } from 'pino';

/** Options of {@link openLogger}. */
export interface LoggerParts {
  readonly level: string;
  /** The format of a line: `json` writes an object, `text` writes time, level, instance, sentence and fields. */
  readonly format: 'json' | 'text';
  /**
   * Returns the fields of every line. It is called for each line, because the instance is known only after the start.
   */
  readonly fields: () => Readonly<Record<string, unknown>>;
  /**
   * File descriptor to which lines are written, synchronously, so that the last line before a crash is not lost.
   * @default 1, standard output
   */
  readonly fd?: 1 | 2;
  /** Writes a line, instead of `fd`. */
  readonly write?: (line: string) => void;
}

export type { Logger };

/** Creates a pino logger for {@link logTo}. It writes one line for each call, and buffers nothing. */
export function openLogger({ level, format, fields, fd = 1, write }: LoggerParts): Logger {
  const out = write ? { write } : pino.destination({ fd, sync: true });
  const form = format === 'json' ? out : { write: (line: string) => void out.write(readable(line)) };
  return pino(
    {
      level,
      base: null,
      mixin: () => ({ ...fields() }),
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    form,
  );
}

/** Formats a line of JSON as text: `12:03:04.120 warn  photos#c41f  photos.resize failed, attempt 2 …  id=01J9Z4`. */
function readable(line: string): string {
  // The cast is safe: pino has just written the line, and it writes objects.
  const { time, level, msg, module, pid, instance, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const isNotice = 'notice' in rest;
  const fields = Object.entries(rest).filter(([name, value]) => !isNotice || !isSaid(String(msg), name, value));
  const parts = [String(time).slice(11, 23), String(level).padEnd(5), String(instance ?? module ?? pid), String(msg)];
  const tail = fields.map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${printable([...parts, ...tail].join('  '))}\n${stackOf(err)}`;
}

/** Returns true when the sentence of a notice already contains the field. */
function isSaid(message: string, name: string, value: unknown): boolean {
  if (name === 'id') return false;
  return name === 'notice' || name.endsWith('Ms') || message.includes(String(value));
}

/** Replaces control characters, so that a message cannot break the line or move the cursor of a terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '·');
}

function stackOf(err: unknown): string {
  const stack: unknown = typeof err === 'object' && err !== null && 'stack' in err ? err.stack : undefined;
  if (typeof stack !== 'string') return '';
  return stack
    .split('\n')
    .map((line) => `    ${printable(line)}\n`)
    .join('');
}

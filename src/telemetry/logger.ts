/** Makes the pino logger of a host: JSON lines for machines, or one readable line of text each. */
import pino, { type Logger } from 'pino';

export interface LoggerParts {
  readonly level: string;
  /** json: one object a line · text: time, level, instance, sentence, fields. */
  readonly format: 'json' | 'text';
  /** What is on every line, asked anew for each. */
  readonly fields: () => Readonly<Record<string, unknown>>;
  /** Default: standard output, written before the call returns, so that the last line of a crash is there. */
  readonly write?: (line: string) => void;
}

export type { Logger };

export function openLogger({ level, format, fields, write }: LoggerParts): Logger {
  const out = write ? { write } : pino.destination({ fd: 1, sync: true });
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

/**
 * A line of JSON as a person reads it: `12:03:04.120 warn  photos#c41f  photos.resize failed, attempt 2 …  id=01J9Z4`.
 */
function readable(line: string): string {
  // pino wrote it a moment ago: an object.
  const { time, level, msg, module, pid, instance, err, ...rest } = JSON.parse(line) as Record<string, unknown>;
  const isNotice = 'notice' in rest;
  const fields = Object.entries(rest).filter(([name, value]) => !isNotice || !isSaid(String(msg), name, value));
  const parts = [String(time).slice(11, 23), String(level).padEnd(5), String(instance ?? module ?? pid), String(msg)];
  const tail = fields.map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return `${printable([...parts, ...tail].join('  '))}\n${stackOf(err)}`;
}

/** Whether the sentence of a notice already says the field. */
function isSaid(message: string, name: string, value: unknown): boolean {
  if (name === 'id') return false;
  return name === 'notice' || name.endsWith('Ms') || message.includes(String(value));
}

/** One line, whatever a message brought along: no line feeds, nothing that moves the cursor of a terminal. */
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

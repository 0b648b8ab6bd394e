/** JSON that loses nothing of a body: whole numbers of any size as digits, dates, bytes, Maps and Sets. And back. */

/** What becomes of bytes: counted, or written out. */
export type Bytes = 'counted' | 'hex';

/**
 * Dates in ISO 8601, bigints as digits, Maps as lists of pairs, Sets as lists; bytes as `<12 bytes>` or in hex; numbers
 * that JSON does not have as their names. `indent` spaces a level; 0 for one line.
 */
export function toJson(value: unknown, bytes: Bytes = 'counted', indent = 0): string {
  return new Printer(bytes, indent).print(value, 0);
}

class Printer {
  constructor(
    private readonly bytes: Bytes,
    private readonly indent: number,
  ) {}

  print(value: unknown, depth: number): string {
    switch (typeof value) {
      case 'bigint':
        return String(value);
      case 'number':
        return Number.isFinite(value) ? (Object.is(value, -0) ? '-0' : String(value)) : `"${value}"`;
      case 'object':
        return value === null ? 'null' : this.object(value, depth);
      default:
        return JSON.stringify(value) ?? 'null';
    }
  }

  private object(value: object, depth: number): string {
    if (value instanceof Date) return `"${value.toISOString()}"`;
    if (value instanceof Uint8Array) return JSON.stringify(printBytes(value, this.bytes));
    if (value instanceof Map) return this.list([...value], depth);
    if (value instanceof Set || Array.isArray(value)) return this.list([...value], depth);
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => `${JSON.stringify(name)}:${this.indent ? ' ' : ''}${this.print(field, depth + 1)}`);
    return this.wrap('{', fields, '}', depth);
  }

  private list(values: readonly unknown[], depth: number): string {
    return this.wrap(
      '[',
      values.map((one) => this.print(one, depth + 1)),
      ']',
      depth,
    );
  }

  private wrap(open: string, parts: readonly string[], close: string, depth: number): string {
    if (this.indent === 0 || parts.length === 0) return open + parts.join(',') + close;
    const outer = `\n${' '.repeat(depth * this.indent)}`;
    const inner = outer + ' '.repeat(this.indent);
    return open + inner + parts.join(`,${inner}`) + outer + close;
  }
}

function printBytes(bytes: Uint8Array, how: Bytes): string {
  if (how === 'hex') return Buffer.from(bytes).toString('hex');
  return `<${bytes.length} ${bytes.length === 1 ? 'byte' : 'bytes'}>`;
}

/** Throws SyntaxError. Whole numbers that a number cannot hold come as bigints. */
export function fromJson(text: string): unknown {
  JSON.parse(text); // says where it is wrong in terms of what was typed
  let mark = 'bigint:';
  while (text.includes(mark)) mark += ':';
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => {
    const isWhole = /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token));
    return isWhole ? `"${mark}${token}"` : token;
  });
  return JSON.parse(marked, (_name, value: unknown) =>
    typeof value === 'string' && value.startsWith(mark) ? BigInt(value.slice(mark.length)) : value,
  );
}

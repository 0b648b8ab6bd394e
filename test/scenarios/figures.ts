/** Figures of a scenario beside those of the authors of the system, as a table. */

/** One measured figure. */
export interface Figure {
  /** The row of the list of scenarios, such as `TW-8`. */
  readonly row: string;
  readonly what: string;
  /** The figure that the authors of the system published; empty if they published none. */
  readonly authors: string;
  /** The figure of this run. */
  readonly ours: string;
  /** False if the figure breaks what busbar promises. Undefined for a figure that is reported and not judged. */
  readonly ok: boolean | undefined;
}

/** Returns the figures that were judged as wrong, as lines of text. */
export function failures(figures: readonly Figure[]): string[] {
  return figures.filter(({ ok }) => ok === false).map(({ row, what, ours }) => `${row} ${what}: ${ours}`);
}

/** Returns a table with one line for each figure. */
export function tableOf(figures: readonly Figure[]): string {
  const rows = [
    ['ROW', 'WHAT', 'AUTHORS', 'BUSBAR', 'RESULT'],
    ...figures.map(({ row, what, authors, ours, ok }) => [row, what, authors, ours, resultOf(ok)]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}

function resultOf(ok: boolean | undefined): string {
  if (ok === undefined) return '-';
  return ok ? 'pass' : 'FAIL';
}

/** Formats a number with a comma between thousands, independent of the locale of the machine. */
export function count(number: number): string {
  return Math.round(number).toLocaleString('en-US');
}
/** Formats a time with three significant digits. */
export function ms(value: number): string {
  return value >= 10_000 ? `${(value / 1_000).toFixed(1)} s` : `${Number(value.toPrecision(3))} ms`;
}
/** Formats bytes as MiB. */
export function mib(bytes: number): string {
  return `${(bytes / 1_048_576).toFixed(bytes < 104_857_600 ? 1 : 0)} MiB`;
}

/** Returns the value below which the given share of `values` lies; 0 if there are none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

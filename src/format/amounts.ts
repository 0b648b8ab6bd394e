/** Formats sizes and durations for messages, with at most one decimal. */

const sizes = [
  [1024 ** 3, 'GiB'],
  [1024 ** 2, 'MiB'],
  [1024, 'KiB'],
] as const;
const spans = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1_000, 's'],
] as const;

/** Formats a size, such as `1.5 GiB` or `300 B`. */
export function sizeText(bytes: number): string {
  return inUnits(bytes, sizes) ?? `${Math.round(bytes)} B`;
}
/** Formats a duration, such as `7 d`, `1.5 h` or `200 ms`. */
export function spanText(ms: number): string {
  return inUnits(ms, spans) ?? `${Math.round(ms)} ms`;
}

function inUnits(amount: number, units: readonly (readonly [number, string])[]): string | undefined {
  const found = units.find(([size]) => amount >= size);
  if (!found) return undefined;
  const [size, name] = found;
  return `${Number((amount / size).toFixed(1))} ${name}`;
}

/** Bounds the number of values of a label, because Prometheus stores a time series for each value for weeks. */

/** Returns a function that keeps the first `max` different values, and replaces all others by `other`. */
export function boundedLabel(max: number): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= max || value.length > charactersMax) return 'other';
    known.add(value);
    return value;
  };
}
const charactersMax = 200;

/**
 * Returns a function that keeps the text before the first colon of a reason if it is plain words. Names, numbers and
 * paths would be unbounded, so it replaces them by `other`.
 */
export function reasonLabel(max: number): (reason: string) => string {
  const bounded = boundedLabel(max);
  return (reason) => {
    const kind = reason.slice(0, charactersMax).split(':', 1)[0] ?? '';
    return /^[A-Za-z][A-Za-z ,'-]{0,59}$/.test(kind) ? bounded(kind) : 'other';
  };
}

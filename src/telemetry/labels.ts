/** Keeps the values of a label few: each one is a time series that Prometheus holds for weeks. */

/** The first `max` different values as they are, all others as 'other'. */
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

/** What stands before the first colon of a reason, if that is plain words: names, numbers and paths have no end. */
export function reasonLabel(max: number): (reason: string) => string {
  const bounded = boundedLabel(max);
  return (reason) => {
    const kind = reason.slice(0, charactersMax).split(':', 1)[0] ?? '';
    return /^[A-Za-z][A-Za-z ,'-]{0,59}$/.test(kind) ? bounded(kind) : 'other';
  };
}

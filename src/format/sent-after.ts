/** Header of records that a spool sends: an offset of their partition that no copy of the record precedes. */

/** Name of the header. Its value is the offset after the last record that the servers had acknowledged to the spool. */
export const sentAfterHeader = 'after';

/** Returns the offset in the header. Returns undefined for a record that no spool has sent, or a foreign value. */
export function sentAfter(headers: Readonly<Record<string, string>>): number | undefined {
  const text = headers[sentAfterHeader];
  if (text === undefined) return undefined;
  const offset = Number(text);
  return text !== '' && Number.isSafeInteger(offset) && offset >= 0 ? offset : undefined;
}

/** Returns the headers of a record with the offset. Each record needs it, and spread syntax takes ten times as long. */
export function withSentAfter(headers: Readonly<Record<string, string>>, offset: string): Record<string, string> {
  const marked: Record<string, string> = { [sentAfterHeader]: offset };
  for (const name in headers) if (name !== sentAfterHeader) marked[name] = headers[name] ?? '';
  return marked;
}

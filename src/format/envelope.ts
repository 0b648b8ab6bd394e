/**
 * Prints and parses envelopes, each of which is one line of text that describes a body:
 * `1 request photos.add 01j… web#a02f 9f86d081884c7d65:42 attempt=2`.
 */
export type { Envelope, ReplyStatus, Stamp, WireKind } from './envelope-fields';
export { parseEnvelope } from './envelope-parser';
export { printEnvelope } from './envelope-printer';

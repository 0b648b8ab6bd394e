/**
 * Exports the consumers of notices: logs by pino, and metrics for Prometheus. No other part of busbar logs or counts.
 */
export { countIn } from './prometheus';
export { logTo } from './log';
export { openLogger } from './logger';
export type { LoggerParts } from './logger';
export type { Watchable } from './watchable';

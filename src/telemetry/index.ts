/** Listeners to what happens inside a bus: its log by pino, its figures for Prometheus. Nothing else logs or counts. */
export { countIn } from './count';
export { logTo } from './log';
export { openLogger } from './logger';
export type { LoggerParts } from './logger';
export type { Watchable } from './watchable';

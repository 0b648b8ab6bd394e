/** Modules as classes, and processes that run one: decorator, injection, signals, exit codes. */
export { Listen } from './listen';
export { BUS, SystemModule } from './module';
export type { Hooks, ModuleOptions } from './module';
export { exitCodes } from './exit';
export { runModule } from './run';
export { serveModule } from './serve';
export type { RunOptions } from './run';

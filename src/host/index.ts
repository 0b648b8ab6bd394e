/** Modules as classes, and processes that run one: decorator, injection, signals, exit codes. */
export { BUS, SystemModule } from './module';
export type { Hooks, ModuleOptions } from './module';
export { exitCodes } from './exit';
export { runModule } from './run';
export type { RunOptions } from './run';

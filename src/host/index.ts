/** Exports the host, which runs modules as classes in processes: decorators, injection, signals and exit codes. */
export { Listen } from './listen';
export { BUS, SystemModule } from './module';
export type { AnyClass, Hooks, ModuleOptions } from './module';
export { exitCodes } from './exit';
export { runModule } from './run';
export { serveModule } from './serve';
export type { RunOptions } from './run';

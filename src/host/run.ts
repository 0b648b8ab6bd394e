/** Runs one module as a process: opens the bus, serves, logs, and leaves when it is asked to. */
import type { DependencyContainer } from 'tsyringe';
import { BusError, isBusError, sayError } from '../base/errors';
import { openNotices, type Notices } from '../base/notices';
import { loadConfig, loadRight, type Config, type HostGiven } from '../config';
import { CONTRACT } from '../contract/types';
import { openBus, type Bus, type Middleware, type OpenOptions } from '../index';
import { levelBy, logTo } from '../telemetry/log';
import { openLogger, type Logger } from '../telemetry/logger';
import { exitCodes } from './exit';
import type { HealthServer } from './health';
import { hearSignals, type Running } from './leave';
import { knownModule, makeModule, type AnyClass } from './module';
import { thisProcess, type Process } from './process';
import { serveModule } from './serve';

/** Options of the bus and of the host, over files and variables; and what only code can give. */
export interface RunOptions extends HostGiven {
  /** Around every handler call, the first one outermost. */
  readonly incoming?: readonly Middleware[];
  /** Where classes and tokens are looked up. Default: tsyringe's own container. */
  readonly container?: DependencyContainer;
  /** Opens the bus. Default: `openBus`. */
  readonly open?: (options: OpenOptions) => Promise<Bus>;
}

/**
 * Makes this process an instance of the module: reads the configuration, opens the bus, makes the class with what it
 * needs, calls its `open()`, serves. Resolves when others can reach it. One module a process.
 *
 * SIGTERM or SIGINT lets it leave: `close()` of the class, then the bus is closed (finishing what runs, within
 * `drainMs`), then the instance and what its constructor was given are put away by `[Symbol.asyncDispose]` or
 * `[Symbol.dispose]`, all within `drainMs` and a second. A second signal ends it at once. A failed start, and anything
 * thrown outside of a handler, end it at once too. `exitCodes` says with which code.
 */
export async function runModule(target: AnyClass, options: RunOptions = {}): Promise<void> {
  if (taken) throw new BusError('Config', twice, { faults: [twice] }, undefined, twiceRemedy);
  taken = true;
  await run(target, options, thisProcess);
}
let taken = false;
const twiceRemedy = 'Start another process for the other module, or open its bus with openBus.';
const twice = 'runModule was called before: a process runs one module; open a bus for another one with openBus';

/** `runModule` in any process, so that a test can be one. */
export async function run(target: AnyClass, options: RunOptions, proc: Process): Promise<void> {
  const running: Running = { module: target.name, logger: openLog(proc, () => running), drainMs: 0 };
  proc.onCrash((thrown) => {
    running.logger.fatal({ err: thrown }, `crashed: ${sayError(thrown)}`);
    proc.exit(exitCodes.crashed);
  });
  const starting = start(target, options, proc, running);
  hearSignals(running, starting, proc);
  try {
    await starting;
  } catch (error) {
    const facts = isBusError(error) ? { code: error.code, remedy: error.remedy } : {};
    // Where the code stood says nothing about a configuration that is wrong.
    const where = isBusError(error, 'Config') ? {} : { err: error };
    running.logger.fatal({ ...where, ...facts }, `cannot start: ${sayError(error)}`);
    proc.exit(startFailure(error));
  }
}

async function start(target: AnyClass, options: RunOptions, proc: Process, running: Running): Promise<void> {
  const startMs = proc.clock.mono();
  const { contract } = knownModule(target);
  running.module = contract[CONTRACT];
  const { values } = readConfig(options, proc, running);
  running.drainMs = values.drainMs;
  running.logger = openLog(proc, () => running, values);
  const notices = openNotices();
  logTo(notices, running.logger);
  followLevel(notices, running.logger);
  const health = await startHealth(notices, values.healthPort, running);
  const bus = await openFor(contract, options, (notice) => notices.tell(notice));
  running.bus = bus;
  const made = makeModule(target, bus, options.container);
  running.made = made;
  await made.handlers.open?.();
  await serveModule(bus, made.handlers);
  health?.serves(bus);
  running.logger.info(`serves ${running.module} after ${Math.round(proc.clock.mono() - startMs)} ms`);
}

function readConfig(options: RunOptions, proc: Process, running: Running): Config {
  const { container: _c, open: _o, incoming: _i, ...overrides } = options;
  const parts = { overrides, by: 'runModule', env: proc.env, cwd: proc.cwd } as const;
  try {
    return loadConfig(parts);
  } catch (error) {
    running.logger = openLog(proc, () => running, loadRight(parts).values); // in the form that was asked for
    throw error;
  }
}

/** Hands on what concerns the bus; it reads files and variables for itself. */
function openFor(
  module: OpenOptions['module'],
  options: RunOptions,
  hear: NonNullable<OpenOptions['hear']>,
): Promise<Bus> {
  const { container: _c, open = openBus, logLevel: _l, logFormat: _f, healthPort: _h, ...given } = options;
  return open({ ...given, module, hear });
}

function openLog(proc: Process, running: () => Running, values?: Config['values']): Logger {
  return openLogger({
    level: values?.logLevel ?? 'info',
    format: values?.logFormat ?? (proc.isTerminal ? 'text' : 'json'),
    fields() {
      const { module, bus } = running();
      return { module, ...(bus && { instance: bus.self.instance }), pid: proc.pid };
    },
    ...(proc.write && { write: proc.write }),
  });
}

/** The lines of the host itself; those of the bus have a level of their own. */
function followLevel(notices: Notices, logger: Logger): void {
  const own = logger.level;
  notices.watch((notice) => {
    if (notice.type === 'setting') logger.level = levelBy(notice, own) ?? logger.level;
  });
}

/**
 * Before the bus, so that it counts from the first notice on, and a port that is taken does no harm. Loaded only
 * where it is asked for: it brings node:http and prom-client.
 */
async function startHealth(
  heard: Notices,
  port: number | undefined,
  running: Running,
): Promise<HealthServer | undefined> {
  if (port === undefined) return undefined;
  const { openHealthServer } = await import('./health');
  const health = await openHealthServer(heard, port);
  running.health = health;
  running.logger.info(`health at http://127.0.0.1:${health.port}/health`);
  return health;
}

function startFailure(error: unknown): number {
  if (isBusError(error, 'Config')) return exitCodes.config;
  return isBusError(error, 'Unreachable') ? exitCodes.unreachable : exitCodes.failed;
}

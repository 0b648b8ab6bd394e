/** Runs one module as a process: opens the bus, serves, writes logs, and leaves on a signal. */
import type { DependencyContainer } from 'tsyringe';
import { BusError, isBusError, errorMessage } from '../base/errors';
import { openNotices, type Notices } from '../base/notices';
import { loadConfig, loadRight, type Config } from '../config';
import type { BusGiven } from '../options';
import { CONTRACT } from '../contract/types';
import { openBus, type Bus, type Middleware, type OpenOptions } from '../index';
import { levelBy, logTo } from '../telemetry/log';
import type { HealthServer } from '../telemetry/health-server';
import { openLogger, type Logger } from '../telemetry/logger';
import { exitCodes } from './exit';
import { watchSignals, type Running } from './leave';
import { knownModule, makeModule, type AnyClass } from './module';
import { thisProcess, type Process } from './process';
import { serveModule } from './serve';

/** Options of the bus and of the host, which override files and variables, and options that only code can set. */
export interface RunOptions extends BusGiven {
  /** Middleware around every handler call. The first one is outermost. */
  readonly incoming?: readonly Middleware[];
  /** The container that resolves classes and tokens. The default is tsyringe's root container. */
  readonly container?: DependencyContainer;
  /**
   * Opens the bus.
   * @default openBus
   */
  readonly open?: (options: OpenOptions) => Promise<Bus>;
}

/**
 * Makes this process an instance of the module. It reads the configuration, opens the bus, creates the class with its
 * dependencies, calls its `open()`, and serves. Resolves when other instances can reach it. A second call in the
 * process rejects with Config.
 *
 * SIGTERM or SIGINT makes the process leave. It calls `close()` of the class and closes the bus, which finishes running
 * handlers within `drainMs`. Then it disposes the instance and its dependencies by `[Symbol.asyncDispose]` or
 * `[Symbol.dispose]`. All of this must end within `drainMs` plus one second. A start that waits for servers
 * (`waitForServersMs`) ends immediately. A second signal ends the process at once, as does a failed start or an error
 * thrown outside a handler. The exit code is one of `exitCodes`.
 *
 * @example
 * import { runModule } from 'busbar/host';
 *
 * await runModule(Search);
 */
export async function runModule(target: AnyClass, options: RunOptions = {}): Promise<void> {
  if (taken) throw new BusError('Config', twice, { faults: [twice] }, undefined, twiceRemedy);
  taken = true;
  await run(target, options, thisProcess);
}
let taken = false;
const twiceRemedy = 'Start another process for the other module, or open its bus with openBus.';
const twice = 'runModule was already called, and a process runs one module. Open a bus for another one with openBus';

/** Implements `runModule` for any process, so that a test can replace the process. */
export async function run(target: AnyClass, options: RunOptions, proc: Process): Promise<void> {
  const leaving = new AbortController();
  const running: Running = { module: target.name, logger: openLog(proc, () => running), drainMs: 0, leaving };
  proc.onCrash((thrown) => {
    running.logger.fatal({ err: thrown }, `crashed: ${errorMessage(thrown)}`);
    proc.exit(exitCodes.crashed);
  });
  const starting = start(target, options, proc, running);
  watchSignals(running, starting, proc);
  try {
    await starting;
  } catch (error) {
    if (leaving.signal.aborted && isBusError(error, 'Cancelled') && error.details.reason === leaving.signal.reason) {
      running.logger.info('left before the servers responded');
      return proc.exit(exitCodes.left);
    }
    const facts = isBusError(error) ? { code: error.code, remedy: error.remedy } : {};
    // The stack adds nothing to a configuration error.
    const where = isBusError(error, 'Config') ? {} : { err: error };
    running.logger.fatal({ ...where, ...facts }, `cannot start: ${errorMessage(error)}`);
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
  const health = await startHealth(notices, values, running);
  const bus = await openFor(contract, options, {
    onNotice: (notice) => notices.emit(notice),
    log: false,
    health: false,
    signal: running.leaving.signal,
  });
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
    running.logger = openLog(proc, () => running, loadRight(parts).values); // in the configured format, if valid
    throw error;
  }
}

/** Opens the bus with the options that concern it. The bus reads files and variables itself. */
function openFor(
  module: OpenOptions['module'],
  options: RunOptions,
  more: Pick<OpenOptions, 'onNotice' | 'log' | 'health' | 'signal'>,
): Promise<Bus> {
  const { container: _c, open = openBus, ...given } = options;
  return open({ ...given, module, ...more });
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

/** Applies the setting `logLevel` to the host's own log lines. The log of the bus applies it separately. */
function followLevel(notices: Notices, logger: Logger): void {
  const own = logger.level;
  notices.watch((notice) => {
    if (notice.type === 'setting') logger.level = levelBy(notice, own) ?? logger.level;
  });
}

/**
 * Starts the health server before the bus, so that it counts every notice, and so that an occupied port fails the start
 * early. It is loaded only when configured, because it loads node:http and prom-client.
 */
async function startHealth(
  watched: Notices,
  { healthPort: port, healthHost: host }: Config['values'],
  running: Running,
): Promise<HealthServer | undefined> {
  if (port === undefined) return undefined;
  const { openHealthServer } = await import('../telemetry/health-server');
  const health = await openHealthServer(watched, { host, port });
  running.health = health;
  running.logger.info(`health at ${health.url}/health`);
  return health;
}

function startFailure(error: unknown): number {
  if (isBusError(error, 'Config')) return exitCodes.config;
  return isBusError(error, 'Unreachable') ? exitCodes.unreachable : exitCodes.failed;
}

/** Abstracts the process that runs a module, so that a test can replace it. */
import { systemClock, type Clock } from '../base/clock';

export type ExitSignal = 'SIGTERM' | 'SIGINT';

export interface Process {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** True when standard output is a terminal. */
  readonly isTerminal: boolean;
  /** Writes a line of the log. When it is undefined, lines are written to standard output. */
  readonly write?: (line: string) => void;
  onSignal(listener: (signal: ExitSignal) => void): void;
  /** Registers a handler for uncaught errors and unhandled rejections. */
  onCrash(listener: (thrown: unknown) => void): void;
  /** Ends the process at once. */
  exit(code: number): void;
  /** Sets the exit code for the case that the process ends because no work is pending. */
  endWith(code: number): void;
}

export const thisProcess: Process = {
  clock: systemClock,
  env: process.env,
  get cwd() {
    return process.cwd();
  },
  pid: process.pid,
  isTerminal: process.stdout.isTTY ?? false,
  onSignal(listener) {
    process.on('SIGTERM', listener);
    process.on('SIGINT', listener);
  },
  onCrash(listener) {
    process.on('uncaughtException', listener);
    process.on('unhandledRejection', listener);
  },
  exit: (code) => process.exit(code),
  endWith(code) {
    process.exitCode = code;
  },
};

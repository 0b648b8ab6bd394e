/** The process as a port: what running a module needs of it, so that a test can be one. */
import { systemClock, type Clock } from '../base/clock';

export type ExitSignal = 'SIGTERM' | 'SIGINT';

export interface Process {
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly pid: number;
  /** Whether a person reads standard output. */
  readonly isTerminal: boolean;
  /** A line of the log; undefined writes to standard output. */
  readonly write?: (line: string) => void;
  onSignal(hear: (signal: ExitSignal) => void): void;
  /** Something was thrown that nobody caught. */
  onCrash(hear: (thrown: unknown) => void): void;
  /** Ends the process now. */
  exit(code: number): void;
  /** The code it ends with should it end by itself, having nothing left to wait for. */
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
  onSignal(hear) {
    process.on('SIGTERM', hear);
    process.on('SIGINT', hear);
  },
  onCrash(hear) {
    process.on('uncaughtException', hear);
    process.on('unhandledRejection', hear);
  },
  exit: (code) => process.exit(code),
  endWith(code) {
    process.exitCode = code;
  },
};

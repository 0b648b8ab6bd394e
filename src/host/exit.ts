/** Defines the exit codes of a process that runs a module, for the supervisor that restarts it. */

/** Exit codes of {@link runModule}, by name. */
export const exitCodes = {
  /** The process left on a signal, and all running work was finished. */
  left: 0,
  /** The start failed for a reason without a code of its own, or a resource could not be closed. */
  failed: 1,
  /** The start failed because a server is unreachable. A later restart can succeed. */
  unreachable: 69,
  /** An error was thrown outside a handler. The process ended at once; another instance repeats its unfinished work. */
  crashed: 70,
  /** The process left, but did not finish everything within `drainMs`. Another instance repeats the unfinished work. */
  late: 75,
  /** The start failed because the configuration is wrong. A restart cannot succeed. */
  config: 78,
  /** A second SIGINT ended the process at once. */
  interrupted: 130,
  /** A second SIGTERM ended the process at once. */
  terminated: 143,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The codes a process that runs a module ends with, for whoever restarts it. */

export const exitCodes = {
  /** Left when it was asked to: everything that ran was finished. */
  left: 0,
  /** Could not start, for a reason that is none of those below; or something could not be closed. */
  failed: 1,
  /** Could not start: a server is unreachable. Starting it again later may help. */
  unreachable: 69,
  /** Something threw outside of any handler: ended at once, and what was begun is done again elsewhere. */
  crashed: 70,
  /** Left, but not everything was finished within `drainMs`; what was not is done again elsewhere. */
  late: 75,
  /** Could not start: the configuration is wrong. Starting it again cannot help. */
  config: 78,
  /** A second SIGINT ended it at once. */
  interrupted: 130,
  /** A second SIGTERM ended it at once. */
  terminated: 143,
} as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

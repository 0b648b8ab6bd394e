/** Runs a change: requests confirmation, and records the change and its end in the audit topic. */
import type { Change, ChangeEnd } from '../inspect';
import { errorMessage } from '../base/errors';
import { exits, type Exit } from './exit';
import type { Desk } from './run';

/** Options of every verb that changes something. */
export interface ChangeOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly reason?: string;
}

/**
 * Runs `run` after the operator has confirmed. The verb has printed what it will touch. With `--dry-run` nothing
 * happens. A change that cannot be recorded is not made.
 */
export async function change(
  desk: Desk,
  what: Pick<Change, 'verb' | 'about' | 'ids' | 'details'>,
  { dryRun, reason }: ChangeOptions,
  run: () => Promise<{ readonly count: number; readonly exit: Exit }>,
): Promise<Exit> {
  const { out, signal, operator } = desk;
  if (dryRun) {
    out.note('dry run: nothing was changed');
    return exits.done;
  }
  if (!(await desk.confirm('continue?'))) {
    out.note('nothing was changed');
    return signal.aborted ? exits.interrupted : exits.warning;
  }
  return recorded(desk, { ...what, ...operator, reason: reason ?? null }, run);
}

/** Runs a confirmed change between its two records. */
export async function recorded(
  { parts, out }: Pick<Desk, 'parts' | 'out'>,
  what: Change,
  run: () => Promise<{ readonly count: number; readonly exit: Exit }>,
): Promise<Exit> {
  const { recordChange } = await import('../inspect');
  const record = await recordChange(parts, what);
  const end = (one: ChangeEnd): Promise<void> =>
    record(one).catch((error: unknown) => out.note(`the end of the change was not recorded: ${errorMessage(error)}`));
  try {
    const { count, exit } = await run();
    await end({ ok: exit === exits.done, count, error: null });
    return exit;
  } catch (error) {
    await end({ ok: false, count: 0, error: errorMessage(error) });
    throw error;
  }
}

/** Declares the verbs that change what instances do now, and the record of such changes. */
import type { Command } from 'commander';
import type { ChangeOptions } from './change';
import type { How, Verb } from './run';
import type { ForgetOptions } from './verbs/forget';
import type { HistoryOptions } from './verbs/history';
import type { PauseOptions } from './verbs/pause';
import type { DropOptions, RepairOptions } from './verbs/repair';
import type { SkipVerbOptions } from './verbs/skip';

/** Such a verb ends by itself after a signal, and reports what it has changed. */
const changing: How = { limitMs: Infinity, stopsItself: true };

const skipExamples = `
Examples:
  busbar skip photos.work 01m8q8rvc8 --reason "812 MB upload"   parks a message that runs, so that its key continues
  busbar skip photos.work --all --entry photos.retired --yes    parks what waits for an entry that no instance knows
  busbar skip search.index --all --key img-771 --dry-run        shows what it would park
A running handler is aborted through its signal. Parked messages can be replayed or dropped.`;

const historyExamples = `
Examples:
  busbar history photos.work                     the newest 20 messages of the queue, handled or not
  busbar history photos.resize --key img-771     those of one entry and key
  busbar history --audit                         the changes of operators, with time, reason and result
  busbar history photos.work --audit --since 1d  those of one queue in the last day`;

type Filters = (command: Command, body: boolean) => Command;
type Perform = (command: Command, how: How, verb: Verb) => Promise<void>;

/** Options of the verbs that change something. */
export function changeOptions(command: Command): Command {
  return command
    .option('--dry-run', 'only shows what it would change')
    .option('--yes', 'does not ask for confirmation')
    .option('--reason <text>', 'reason that is recorded with the change');
}

const pauseExamples = `
Examples:
  busbar pause photos.work --for 10m --reason "store is down"   all entries of a queue, until ten minutes from now
  busbar pause photos.resize                                    one entry, until it is resumed
  busbar pause search.index --yes                               a named listener
Running handlers continue. Messages wait, and requests wait for their timeout.`;

const resumeExamples = `
Examples:
  busbar resume photos.work        the queue is handled again at once`;

const replayExamples = `
Examples:
  busbar replay billing.charge --reason-like ECONNREFUSED --rate 2/s   the oldest first, two in a second
  busbar replay billing.charge 01m8q8rvc8 01m8q8rybk --yes             two messages
  busbar replay photos.work --all --max 100 --dry-run                  shows the oldest hundred
The command requires a confirmation, or --yes without a terminal. Ctrl-C stops it between two batches.`;

const dropExamples = `
Examples:
  busbar drop billing.charge 01m8q8rvc8 --reason "customer left"       one message
  busbar drop photos.work --all --entry photos.retired --export retired.jsonl
The command requires a confirmation, or --yes without a terminal.`;

/** Adds the verbs. `perform` runs the code of a verb, and `filters` adds the options that select messages. */
export function changeVerbs(program: Command, perform: Perform, filters: Filters): void {
  changeOptions(filters(program.command('skip <queue> [id...]'), false))
    .description('parks messages that wait or run, so that later messages of their keys go on')
    .option('--all', 'all messages that match the filters')
    .addHelpText('after', skipExamples)
    .action(async (queue: string, ids: string[], options: SkipVerbOptions, command: Command) => {
      const { skip } = await import('./verbs/skip');
      await perform(command, changing, (desk) => skip(desk, queue, ids, options));
    });
  filters(program.command('history [queue]'), true)
    .description('everything that the log has of a queue, handled or not; with --audit the changes of operators')
    .option('--audit', 'the changes of operators instead of messages')
    .option('--id <id>', 'only messages or changes with this id')
    .addHelpText('after', historyExamples)
    .action(async (queue: string | undefined, options: HistoryOptions, command: Command) => {
      const { history } = await import('./verbs/history');
      await perform(command, {}, (desk) => history(desk, queue, options));
    });
  pauseVerbs(program, perform);
  repairVerbs(program, perform, filters);
}

function pauseVerbs(program: Command, perform: Perform): void {
  changeOptions(program.command('pause <queue>'))
    .description('starts no handler of a queue, an entry or a named listener, until it is resumed')
    .option('--for <duration>', 'ends the pause after this time, such as 10m')
    .addHelpText('after', pauseExamples)
    .action(async (queue: string, options: PauseOptions, command: Command) => {
      const { pause } = await import('./verbs/pause');
      await perform(command, {}, (desk) => pause(desk, queue, options));
    });
  changeOptions(program.command('resume <queue>'))
    .description('ends the pause of a queue, an entry or a named listener')
    .addHelpText('after', resumeExamples)
    .action(async (queue: string, options: ChangeOptions, command: Command) => {
      const { resume } = await import('./verbs/pause');
      await perform(command, {}, (desk) => resume(desk, queue, options));
    });
}

function repairVerbs(program: Command, perform: Perform, filters: Filters): void {
  const which = (command: Command): Command =>
    changeOptions(filters(command, false))
      .option('--all', 'all parked messages of the queue')
      .option('--reason-like <text>', 'messages whose reason contains this text')
      .option('--max <count>', 'at most this number of messages, the oldest first');
  which(program.command('replay <queue> [id...]'))
    .description('sends parked messages again, with their ids')
    .option('--rate <rate>', 'at most this number of messages in a time, such as 10/s')
    .addHelpText('after', replayExamples)
    .action(async (queue: string, ids: string[], options: RepairOptions, command: Command) => {
      const { replay } = await import('./verbs/repair');
      await perform(command, changing, (desk) => replay(desk, queue, ids, options));
    });
  which(program.command('drop <queue> [id...]'))
    .description('deletes parked messages, after writing them to a file')
    .option('--export <file>', 'path of that file. Default: ./dropped-<time>.jsonl')
    .addHelpText('after', dropExamples)
    .action(async (queue: string, ids: string[], options: DropOptions, command: Command) => {
      const { drop } = await import('./verbs/repair');
      await perform(command, changing, (desk) => drop(desk, queue, ids, options));
    });
  changeOptions(program.command('forget <listener>'))
    .description('forgets a named listener that will not be started again, so that no event waits for it')
    .action(async (listener: string, options: ForgetOptions, command: Command) => {
      const { forget } = await import('./verbs/forget');
      await perform(command, {}, (desk) => forget(desk, listener, options));
    });
}

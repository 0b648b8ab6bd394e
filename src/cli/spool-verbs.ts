/** Declares the verbs of the spool of a machine. They open no bus. */
import type { Command } from 'commander';
import type { How, LocalVerb } from './run';
import type { SpoolDropOptions, SpoolOptions, SpoolRepairOptions } from './verbs/spool';
import type { SpoolExportOptions } from './verbs/spool-export';

const directory = `
--dir is the directory of the spool. Default: the option spool (BUSBAR_SPOOL). No process of the machine has to run.`;

/** Such a verb ends by itself after a signal, and reports what it has changed. */
const changing: How = { limitMs: Infinity, stopsItself: true };

/** Adds the verbs. Returns `spool`, which has verbs of its own. `perform` runs the code of a verb. */
export function spoolVerbs(
  program: Command,
  perform: (command: Command, how: How, verb: LocalVerb) => Promise<void>,
): Command {
  const spool = program
    .command('spool')
    .description('what waits for the brokers in the spool of this machine, and what they refused')
    .addHelpText('after', directory)
    .action(async (_options: object, command: Command) => {
      const { spool: list } = await import('./verbs/spool');
      await perform(command, {}, (desk) => list(desk, command.optsWithGlobals<SpoolOptions>()));
    });
  which(spool.command('replay [id...]'))
    .description('sends messages that the brokers refused again, with their ids')
    .action(async (ids: string[], _options: object, command: Command) => {
      const { replaySpool } = await import('./verbs/spool');
      const options = command.optsWithGlobals<SpoolRepairOptions>();
      await perform(command, changing, (desk) => replaySpool(desk, ids, options));
    });
  which(spool.command('drop [id...]'))
    .description('deletes messages that the brokers refused, after writing them to a file')
    .option('--export <file>', 'path of that file. Default: ./dropped-<time>.jsonl')
    .action(async (ids: string[], _options: object, command: Command) => {
      const { dropSpool } = await import('./verbs/spool');
      const options = command.optsWithGlobals<SpoolDropOptions>();
      await perform(command, changing, (desk) => dropSpool(desk, ids, options));
    });
  spool
    .command('export <file>')
    .description('writes what waits in the spool to a file, one JSON line per message, and leaves it in the spool')
    .option('--topic <topic>', 'only messages for this topic')
    .addHelpText('after', directory)
    .action(async (file: string, _options: object, command: Command) => {
      const { exportSpool } = await import('./verbs/spool-export');
      const options = command.optsWithGlobals<SpoolExportOptions>();
      await perform(command, changing, (desk) => exportSpool(desk, file, options));
    });
  program
    .command('drain')
    .description('sends what waits in the spool of this machine to the brokers')
    .addHelpText('after', directory)
    .action(async (_options: object, command: Command) => {
      const { drain } = await import('./verbs/drain');
      await perform(command, changing, (desk) => drain(desk, command.optsWithGlobals<SpoolOptions>()));
    });
  return spool;
}

function which(command: Command): Command {
  return command
    .option('--all', 'all parked messages of the spool')
    .option('--topic <topic>', 'only messages for this topic')
    .option('--reason-like <text>', 'messages whose reason contains this text')
    .option('--dry-run', 'only shows the messages that it would change')
    .option('--yes', 'does not ask for confirmation')
    .addHelpText('after', directory);
}

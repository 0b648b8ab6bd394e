/** Declares the verbs that show what instances do now. */
import type { Command } from 'commander';
import type { How, Verb } from './run';
import type { OlderOptions } from './verbs/running';
import type { WhyOptions } from './verbs/why';

const runningExamples = `
Examples:
  busbar running                       every handler that runs now, longest first
  busbar running photos --older 30s    those of the module photos that have been running for 30 s
  busbar running photos.resize         those of one entry; a queue and an instance can also be named
  busbar running -o json | jq '.[].note'`;

const pendingExamples = `
Examples:
  busbar pending --older 2s            requests that have waited for a reply for 2 s
  busbar pending bank                  requests that the module bank sent or received
  busbar pending bank#0be2             those of one instance`;

const whyExamples = `
Examples:
  busbar why 01m8q7vdnz                what a message waits for, or what became of it
  busbar why 01m8q7vdnz --tree         with the messages that caused it, and those that it caused
An id of a request works while the request runs, and for a while after it ended.`;

/** Adds the verbs. `perform` runs the code of a verb. */
export function activityVerbs(
  program: Command,
  perform: (command: Command, how: How, verb: Verb) => Promise<void>,
): void {
  program
    .command('running [name]')
    .description('handlers that run now: on which instance, for how long, which attempt')
    .option('--older <duration>', 'only handlers that have been running for this time, such as 30s')
    .addHelpText('after', runningExamples)
    .action(async (name: string | undefined, options: OlderOptions, command: Command) => {
      const { running } = await import('./verbs/running');
      await perform(command, {}, (desk) => running(desk, name, options));
    });
  program
    .command('pending [name]')
    .description('requests without a reply: the caller, the responder, the state, and the deadline')
    .option('--older <duration>', 'only requests that have waited for this time, such as 2s')
    .addHelpText('after', pendingExamples)
    .action(async (name: string | undefined, options: OlderOptions, command: Command) => {
      const { pending } = await import('./verbs/pending');
      await perform(command, {}, (desk) => pending(desk, name, options));
    });
  program
    .command('why <id>')
    .description('the biography of one message: its attempts, what it waits for, and what it caused')
    .option('--tree', 'also the messages that caused it, and those that it caused')
    .addHelpText('after', whyExamples)
    .action(async (id: string, options: WhyOptions, command: Command) => {
      const { why } = await import('./verbs/why');
      await perform(command, {}, (desk) => why(desk, id, options));
    });
}

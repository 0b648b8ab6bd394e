/**
 * Declares the verbs of the command, their options and their help. The code of a verb is loaded only when the verb is
 * used.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { nearest } from '../base/errors';
import { variableOf, type Options } from '../base/options';
import { busOptions, entryOptions } from '../options';
import { activityVerbs } from './activity-verbs';
import { flagOf } from './args';
import { changeVerbs } from './change-verbs';
import { completionOf } from './completion';
import { exits, Usage } from './exit';
import { spoolVerbs } from './spool-verbs';
import { oneLine } from './words';
import type { Everywhere, How, LocalVerb, Verb } from './run';
import type { ParkedOptions } from './verbs/parked';
import type { PeekOptions } from './verbs/peek';
import type { QueuesOptions } from './verbs/queues';
import type { SendOptions } from './verbs/send';
import type { SetOptions } from './verbs/settings';

const footer = `
Names are those of the contract: photos (a module), photos.work (a queue), photos.resize (an entry), search.index (a
listener's queue), photos#c41f (an instance). An id can be shortened if no other id begins with the same characters.
Verbs that read change nothing: they join no group, move no offset and create no topic.
Every option of the bus can be passed, such as --drain-ms. BUSBAR_* variables and the configuration file apply too.

Exit codes: 0 done · 1 a warning, or nothing matched · 2 critical · 3 some failed · 64 usage error · 69 unreachable ·
75 timed out · 77 not allowed · 130 interrupted. Data is written to stdout, everything else to stderr.`;

export async function main(argv: readonly string[]): Promise<void> {
  const program = build();
  try {
    refuseUnknown(program, argv[2]);
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? exits.done : exits.usage;
    else if (error instanceof Usage) {
      process.stderr.write(`busbar: ${error.message}\n`);
      process.exitCode = exits.usage;
    } else throw error;
  }
}

/**
 * Throws Usage for an unknown verb. Without this check, the parser would pass it to `status`, the default verb, as an
 * argument.
 */
function refuseUnknown(program: Command, word = '-'): void {
  const known = ['help', ...program.commands.map((command) => command.name())];
  if (word.startsWith('-') || known.includes(word)) return;
  const near = nearest(word, known);
  const meant = near === undefined ? '' : `, the nearest is ${near}`;
  throw new Usage(`there is no verb ${oneLine(word)}${meant}; \`busbar help\` lists all`);
}

function build(): Command {
  const program = new Command('busbar')
    .description('Shows and repairs the queues of a system of modules.')
    .version(version())
    .option(
      '-o, --output <form>',
      'table, wide, names, json or jsonl. Default: a table on a terminal, tab-separated lines elsewhere',
    )
    .option('--json', 'the same as -o json')
    .option('--columns <names>', 'only these columns of a list, such as ID,KEY')
    .option('--sort <column>', 'sorts a list by this column, the largest first')
    .option('--timeout <duration>', 'maximum time of the command, such as 10s')
    .option('--config <file>', 'the configuration file of the service')
    .option('--dir <directory>', 'the directory that the processes share')
    .option('--ns <name>', 'the namespace')
    .showHelpAfterError('`busbar help` lists the verbs')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'busbar: ')) })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', footer)
    .exitOverride();
  addBusOptions(program);
  look(program);
  activityVerbs(program, perform);
  changeVerbs(program, perform, filters);
  settings(program);
  send(program);
  completionVerb(program);
  for (const command of program.commands) command.hook('preAction', () => applyBusOptions(program));
  const spool = spoolVerbs(program, (command, how, verb) => performLocal(program, command, how, verb));
  for (const command of [...program.commands, ...spool.commands]) {
    const name = command.parent === program ? command.name() : `${command.parent?.name() ?? ''} ${command.name()}`;
    command.exitOverride().showHelpAfterError(`usage: busbar ${name} ${command.usage()}`);
  }
  return program;
}

function version(): string {
  // The cast is safe: this file belongs to the package, and only its version is read.
  return (JSON.parse(readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')) as { version: string }).version;
}

const shown = ['dir', 'ns'];
/** Options of the bus that the command does not accept. `version` is that of a module, and the console has none. */
const notAccepted = ['version'];

function addBusOptions(program: Command): void {
  for (const [name, { description }] of Object.entries(busOptions)) {
    if (shown.includes(name) || notAccepted.includes(name)) continue;
    program.addOption(new Option(`--${flagOf(name)} <value>`, description).hideHelp());
  }
}

/**
 * Writes the typed options into environment variables, so that they are parsed, checked and named in errors like any
 * other configuration.
 */
function applyBusOptions(program: Command, left: readonly string[] = notAccepted): void {
  const given = program.opts<Record<string, string | undefined>>();
  for (const name of Object.keys(busOptions)) {
    const value = given[name];
    if (value !== undefined && !left.includes(name)) process.env[variableOf(name)] = value;
  }
  if (given['config'] !== undefined) process.env['BUSBAR_CONFIG'] = given['config'];
}

async function perform(command: Command, how: How, verb: Verb): Promise<void> {
  const { run } = await import('./run');
  await run(command.optsWithGlobals<Everywhere>(), how, verb);
}

/** Runs a verb that opens no bus. Its `--dir` is not the option `dir` of a bus. */
async function performLocal(program: Command, command: Command, how: How, verb: LocalVerb): Promise<void> {
  applyBusOptions(program, [...notAccepted, 'dir']);
  const { runLocal } = await import('./run');
  await runLocal(command.optsWithGlobals<Everywhere>(), how, verb);
}

function filters(command: Command, body: boolean): Command {
  command
    .option('--key <key>', 'only messages of this key')
    .option('--entry <entry>', 'only messages of this entry')
    .option('--from <sender>', 'only messages of this module or instance')
    .option('--since <time>', 'only messages since this time: 1h, or 2026-11-22T03:10')
    .option('--until <time>', 'only messages until this time: 10m, or 2026-11-22T03:10');
  if (!body) return command;
  return command
    .option('--where <expression>', "only messages for which this is true in JavaScript, such as 'body.width > 900'")
    .option('-n, --number <count>', 'maximum number of messages')
    .option('--no-body', 'without the bodies')
    .option('--raw', 'bytes in hex instead of their number');
}

function look(program: Command): void {
  program
    .command('status', { isDefault: true })
    .description('problems, worst first (also without a verb). The exit code is 0, 1 or 2')
    .action(async (_options: object, command: Command) => {
      await perform(command, {}, (await import('./verbs/status')).status);
    });
  program
    .command('instances [module]')
    .description('running instances, what each serves and how busy it is')
    .action(async (module: string | undefined, _options: object, command: Command) => {
      const { instances } = await import('./verbs/instances');
      await perform(command, {}, (desk) => instances(desk, module));
    });
  program
    .command('queues [queue...]')
    .description('number of messages that wait in each queue, with rates and handlers')
    .option('--by <kind>', 'counts the messages of one queue by entry, key, partition, sender or instance')
    .action(async (names: string[], options: QueuesOptions, command: Command) => {
      const { queues } = await import('./verbs/queues');
      await perform(command, {}, (desk) => queues(desk, names, options));
    });
  filters(program.command('peek <queue>').description('messages that wait, in the order of handling'), true)
    .option('--newest', 'the last messages, newest first')
    .action(async (queue: string, options: PeekOptions, command: Command) => {
      const { peek } = await import('./verbs/peek');
      await perform(command, {}, (desk) => peek(desk, queue, options));
    });
  filters(program.command('tail [name...]').description('work and events of queues and modules, live'), true).action(
    async (names: string[], options: PeekOptions, command: Command) => {
      const { tail } = await import('./verbs/tail');
      await perform(command, { limitMs: Infinity }, (desk) => tail(desk, names, options));
    },
  );
  filters(program.command('parked [queue]').description('parked messages, by reason'), true)
    .option('--each', 'one message a line')
    .action(async (queue: string | undefined, options: ParkedOptions, command: Command) => {
      const { parked } = await import('./verbs/parked');
      await perform(command, {}, (desk) => parked(desk, queue, options));
    });
  program
    .command('show <id>')
    .description('one message: envelope, body, all attempts, and its state')
    .option('--no-body', 'without the body')
    .option('--raw', 'bytes in hex instead of their number')
    .action(async (id: string, options: { body: boolean }, command: Command) => {
      const { show } = await import('./verbs/show');
      await perform(command, {}, (desk) => show(desk, id, options));
    });
}

function settings(program: Command): void {
  const keys = `
Keys of the whole bus: ${liveNames(busOptions)}.
Keys of an entry or of a named listener are its name and one of ${liveNames(entryOptions)}:
photos.resize.concurrency, search.index.paused.`;
  program
    .command('settings [name]')
    .description('settings that override the configuration: all, or those of a module, entry or key')
    .addHelpText('after', keys)
    .action(async (name: string | undefined, _options: object, command: Command) => {
      const { list } = await import('./verbs/settings');
      await perform(command, {}, (desk) => list(desk, name));
    });
  program
    .command('set <key> <value>')
    .description('changes a setting. Every open bus applies it within a second')
    .addHelpText('after', keys)
    .option('--was <version>', 'only if the setting has this version; 0: only if it is not set')
    .option('--unchecked', 'also for an entry or listener that no running instance knows')
    .action(async (key: string, value: string, options: SetOptions, command: Command) => {
      const { set } = await import('./verbs/settings');
      await perform(command, {}, (desk) => set(desk, key, value, options));
    });
  program
    .command('unset <key>')
    .description('removes a setting, so that code and configuration apply again')
    .option('--was <version>', 'only if the setting has this version')
    .action(async (key: string, options: SetOptions, command: Command) => {
      const { unset } = await import('./verbs/settings');
      await perform(command, {}, (desk) => unset(desk, key, options));
    });
}

function completionVerb(program: Command): void {
  program
    .command('completion <shell>')
    .description('prints the completion of the command for bash, zsh or fish')
    .addHelpText('after', '\nExamples:\n  eval "$(busbar completion bash)"\n  busbar completion fish | source')
    .action((shell: string) => void process.stdout.write(completionOf(program, shell)));
}

function liveNames(declared: Options): string {
  return Object.entries(declared)
    .flatMap(([name, { live }]) => (live ? name : []))
    .join(', ');
}

function send(program: Command): void {
  const bodies = 'The body is JSON, or - for stdin; a request can have none. A running instance checks it first.';
  const add = (verb: string, kind: 'request' | 'work' | 'broadcast' | 'event', description: string): Command =>
    program
      .command(`${verb} <entry> ${kind === 'request' ? '[json]' : '<json>'}`)
      .description(description)
      .addHelpText('after', `\n${bodies}`)
      .option('--unchecked', 'sends the body without a check')
      .action(async (entry: string, json: string | undefined, _options: object, command: Command) => {
        const options = command.optsWithGlobals<SendOptions & Everywhere>();
        const how = kind === 'request' ? { limitMs: Infinity } : {};
        const { send: run } = await import('./verbs/send');
        await perform(command, how, (desk) => run(desk, kind, entry, json, options));
      });
  add('request', 'request', 'sends a request to a running instance and prints its reply')
    .option('--to <instance>', 'sends it to this instance')
    .option('--all', 'sends it to every running instance');
  add('submit', 'work', 'submits a job')
    .option('--key <key>', 'key of a job that is sent unchecked')
    .option('--queue <name>', 'own queue of the entry, if it is sent unchecked and nothing else shows the queue');
  add('broadcast', 'broadcast', 'sends a broadcast to every running instance of the module');
  add('publish', 'event', 'publishes an event').option('--key <key>', 'key of an event that is sent unchecked');
}

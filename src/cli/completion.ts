/** Prints the completion of the command for a shell: its verbs, and the options of each. */
import type { Command } from 'commander';
import { Usage } from './exit';

interface Completed {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly string[];
}

const shells = { bash, zsh, fish } as const;
export const shellNames: readonly string[] = Object.keys(shells);

/** Returns the script for a shell. Throws Usage for any other shell. */
export function completionOf(program: Command, shell: string): string {
  const common = flagsOf(program);
  const verbs = program.commands.map((command): Completed => {
    const flags = [...flagsOf(command), ...common, '--help'];
    return { name: command.name(), description: command.description(), flags };
  });
  const print = Object.entries(shells).find(([name]) => name === shell)?.[1];
  if (!print) throw new Usage(`${shell} is not one of ${shellNames.join(', ')}`);
  return print(verbs);
}

function flagsOf(command: Command): readonly string[] {
  return command.options.flatMap(({ long, hidden }) => (hidden || !long ? [] : long));
}

function bash(verbs: readonly Completed[]): string {
  const cases = verbs.map(({ name, flags }) => `    ${name}) words="${flags.join(' ')}" ;;`);
  return [
    '# eval "$(busbar completion bash)"',
    '_busbar() {',
    '  local word="${COMP_WORDS[COMP_CWORD]}" words=""',
    '  COMPREPLY=()',
    `  if [ "$COMP_CWORD" -eq 1 ]; then words="${verbs.map(({ name }) => name).join(' ')}"`,
    '  elif [[ "$word" == -* ]]; then case "${COMP_WORDS[1]}" in',
    ...cases,
    '    esac',
    '  fi',
    '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
    '}',
    'complete -o default -F _busbar busbar',
    '',
  ].join('\n');
}

function zsh(verbs: readonly Completed[]): string {
  const quoted = (text: string): string => text.replace(/[':]/g, ' ');
  const described = verbs.map(({ name, description }) => `    '${name}:${quoted(description)}'`);
  const cases = verbs.map(({ name, flags }) => `    ${name}) compadd -- ${flags.join(' ')} ;;`);
  return [
    '#compdef busbar',
    '# eval "$(busbar completion zsh)"',
    '_busbar() {',
    '  local -a verbs',
    '  verbs=(',
    ...described,
    '  )',
    '  if (( CURRENT == 2 )); then _describe verb verbs',
    '  else case "${words[2]}" in',
    ...cases,
    '    esac',
    '  fi',
    '}',
    'compdef _busbar busbar',
    '',
  ].join('\n');
}

function fish(verbs: readonly Completed[]): string {
  const quoted = (text: string): string => text.replace(/'/g, "\\'");
  const lines = verbs.flatMap(({ name, description, flags }) => [
    `complete -c busbar -f -n __fish_use_subcommand -a ${name} -d '${quoted(description)}'`,
    ...flags.map((flag) => `complete -c busbar -n '__fish_seen_subcommand_from ${name}' -l ${flag.slice(2)}`),
  ]);
  return ['# busbar completion fish | source', ...lines, ''].join('\n');
}

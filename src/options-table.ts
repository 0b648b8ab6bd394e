/** Prints options as a Markdown table, for docs/configuration.md. */
import { describeNumber, variableOf, type Option, type Options } from './base/options';

/** Returns the options as a Markdown table, in the order of their declaration. */
export function optionsTable(declared: Options): string {
  const rows = Object.entries(declared).map(
    ([name, option]) =>
      `| \`${name}\` | \`${variableOf(name)}\` | ${describeDefault(option)} | ${describeBounds(option)} | ` +
      `${option.live ? 'yes' : ''} | ${option.description.replaceAll('|', '\\|')} |`,
  );
  return ['| Option | Variable | Default | Allowed values | Live | |', '|---|---|---|---|---|---|', ...rows].join('\n');
}

function describeDefault(option: Option): string {
  if (option.default === undefined || option.type === 'secret') return '';
  if (typeof option.default === 'number' && 'min' in option) return describeNumber(option, option.default);
  return option.default === '' ? '' : `\`${String(option.default)}\``;
}

function describeBounds(option: Option): string {
  switch (option.type) {
    case 'integer':
    case 'duration':
    case 'bytes':
    case 'share':
      return `${describeNumber(option, option.min)} to ${describeNumber(option, option.max)}`;
    case 'choice':
      return option.choices.map((one) => `\`${one}\``).join(', ');
    case 'text':
      return option.pattern ? `\`${option.pattern.source.replaceAll('|', '\\|')}\`` : 'text';
    case 'flag':
      return '`true`, `false`';
    case 'list':
      return 'texts';
    case 'secret':
      return 'secret';
  }
}

/** `npm run bench -- <scenario>… [--json] [--rounds N] [--subjects a,b] [--transport embedded]`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Line } from './measure';
import { scenarios, type Run } from './scenarios';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    subjects: { type: 'string', default: 'busbar,unix-socket' },
    transport: { type: 'string', default: 'embedded' },
  },
});

async function main(): Promise<void> {
  const names = positionals.length > 0 ? positionals : Object.keys(scenarios);
  const unknown = names.filter((name) => !scenarios[name]);
  if (unknown.length > 0 || values.transport !== 'embedded') {
    console.error(
      `scenarios: ${Object.keys(scenarios).join(', ')}; transport: embedded; not: ${unknown.join(', ') || values.transport}`,
    );
    process.exit(64);
  }
  const lines: Line[] = [];
  for (const name of names) {
    const dir = mkdtempSync(join(tmpdir(), 'busbar-bench-'));
    const say = (progress: string): void => void process.stderr.write(`${progress}\n`);
    const run: Run = { dir, rounds: Number(values.rounds), subjects: values.subjects.split(','), say };
    try {
      const more = (await scenarios[name]?.(run)) ?? [];
      lines.push(...more);
      if (values.json) for (const line of more) console.log(JSON.stringify(line));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
  if (!values.json) console.table(lines);
}
process.once('SIGINT', () => process.exit(130)); // 'exit' ends the children
main().then(
  () => process.exit(0),
  (error: unknown) => {
    console.error(error);
    process.exit(1);
  },
);

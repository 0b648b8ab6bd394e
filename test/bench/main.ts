/** `npm run bench -- <scenario>… [--json] [--rounds N] [--subjects a,b] [--transport embedded|kafka]`. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { kafkaScenarios } from './kafkascenarios';
import { embedded, kafka, type Line } from './measure';
import { scenarios, type Run } from './scenarios';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    subjects: { type: 'string' },
    transport: { type: 'string', default: 'embedded' },
  },
});
const transports = {
  embedded: { way: embedded, scenarios, subjects: 'busbar,unix-socket' },
  kafka: { way: kafka, scenarios: kafkaScenarios, subjects: 'busbar,nest-kafka,kafka-prototype,kafkajs' },
};

/** Sets variables of this process and its children. Each run has its own namespace; the caller names the brokers. */
function setVariables(transport: string): void {
  const { KAFKA_BROKERS = '', ZOOKEEPER = '' } = process.env;
  process.env['BUSBAR_NS'] = `bench${randomBytes(4).toString('hex')}`;
  process.env['BUSBAR_TRANSPORT'] = transport;
  process.env['KAFKAJS_NO_PARTITIONER_WARNING'] = '1';
  if (transport === 'kafka') Object.assign(process.env, { BUSBAR_BROKERS: KAFKA_BROKERS, BUSBAR_ZOOKEEPER: ZOOKEEPER });
}

async function main(): Promise<void> {
  const { transport } = values;
  const chosen = transport === 'embedded' || transport === 'kafka' ? transports[transport] : undefined;
  const names = positionals.length > 0 ? positionals : Object.keys(chosen?.scenarios ?? {});
  const unknown = names.filter((name) => !chosen?.scenarios[name]);
  if (!chosen || unknown.length > 0) {
    const known = Object.keys((chosen ?? transports.embedded).scenarios).join(', ');
    console.error(`scenarios: ${known}; transports: embedded, kafka; not: ${unknown.join(', ') || transport}`);
    process.exit(64);
  }
  setVariables(transport);
  const lines: Line[] = [];
  for (const name of names) {
    const dir = mkdtempSync(join(tmpdir(), 'busbar-bench-'));
    const say = (progress: string): void => void process.stderr.write(`${progress}\n`);
    const subjects = (values.subjects ?? chosen.subjects).split(',');
    const run: Run = { dir, rounds: Number(values.rounds), subjects, way: chosen.way, say };
    try {
      const more = (await chosen.scenarios[name]?.(run)) ?? [];
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

/** Runs Kafka's own command line tools, which operators use, against the test cluster. */
import { spawn } from 'node:child_process';
import type { Cluster } from './cluster';
import { kafkaJars } from './jars';

/** Tools by short name. The table maps them to main classes; those of the console clients moved between versions. */
export type Tool = keyof typeof tools;
const tools = {
  producer: 'org.apache.kafka.tools.ConsoleProducer',
  consumer: 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  groups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  topics: 'org.apache.kafka.tools.TopicCommand',
  leaders: 'org.apache.kafka.tools.LeaderElectionCommand',
  acls: 'org.apache.kafka.tools.AclCommand',
  configs: 'kafka.admin.ConfigCommand',
  transactions: 'org.apache.kafka.tools.TransactionsCommand',
  reassign: 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand',
} as const;

const runMs = 180_000;

/**
 * Returns the standard output of the tool. Rejects with its output when it fails or takes more than three minutes.
 * `end` interrupts the tool, as Ctrl-C does; that does not count as a failure.
 */
export async function runTool(
  cluster: Cluster,
  tool: Tool,
  args: readonly string[],
  input = '',
  end?: AbortSignal,
): Promise<string> {
  const jars = await kafkaJars('4.1'); // its tools support older brokers too
  const where = ['--bootstrap-server', cluster.brokers];
  const java = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', `${jars}/*`, tools[tool]];
  const child = spawn('java', [...java, ...where, ...args], { stdio: 'pipe' });
  const timer = setTimeout(() => child.kill('SIGKILL'), runMs);
  end?.addEventListener('abort', () => child.kill('SIGINT'));
  const [out, said] = [child.stdout, child.stderr].map((stream) => {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    return parts;
  });
  child.stdin.end(input);
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  const text = (parts: Buffer[] | undefined): string => Buffer.concat(parts ?? []).toString();
  if (code !== 0 && !end?.aborted) throw new Error(`${tool} ended with ${String(code)}: ${text(said)}${text(out)}`);
  return text(out);
}

const scripts: Readonly<Record<string, Tool>> = {
  'kafka-topics.sh': 'topics',
  'kafka-configs.sh': 'configs',
  'kafka-transactions.sh': 'transactions',
  'kafka-acls.sh': 'acls',
};
/** Runs the first command of Kafka's tools that `message` names, as if an operator had copied it. */
export function runNamed(cluster: Cluster, message: string): Promise<string> {
  const [, script = '', words = ''] = /(kafka-[a-z]+\.sh) ([^;]+)/.exec(message) ?? [];
  const tool = scripts[script];
  if (tool === undefined) throw new Error(`no command is named: ${message}`);
  const args = words
    .trim()
    .replace(/^--bootstrap-server \S+ /, '')
    .split(/\s+/);
  return runTool(cluster, tool, args);
}

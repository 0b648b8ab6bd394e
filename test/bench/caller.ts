/** Runs each contender in its own process, so that contenders share no event loop and no heap. */
import { readFileSync } from 'node:fs';
import { ownCpuUs, startProcess, type Child } from './processes';
import { round, type Contender, type Round, type Subject } from './measure';

export interface Remote extends Contender {
  usage(): Promise<Usage>;
  close(): Promise<void>;
  kill(): Promise<void>;
}
/** Memory of a process in MB: all of it, and the part that is not the mapping of a file. Also its CPU time so far. */
export interface Usage {
  readonly rssMb: number;
  readonly anonMb: number;
  readonly cpuUs: number;
}
interface Asked {
  readonly outstanding: number;
  readonly total: number;
  readonly each: number;
}

/** Makers by scenario and subject. Each loads only its own modules. */
const makers: Readonly<Record<string, () => Promise<Subject>>> = {
  'request busbar': async () => (await import('./subjects')).busbarRequests(process.argv[3] ?? ''),
  'request nest-kafka': async () => (await import('./nest')).nestRequests(),
  'request kafka-prototype': async () => (await import('./prototype')).prototypeRequests(),
  'submit busbar': async () => (await import('./subjects')).busbarSubmits(process.argv[3] ?? ''),
  'accept embedded': async () => (await import('./spool')).acceptSubject(process.argv[3] ?? '', 'embedded', 1),
  'accept spool': async () => (await import('./spool')).acceptSubject(process.argv[3] ?? '', 'spool', 1),
  'accept-lists embedded': async () => (await import('./spool')).acceptLists(process.argv[3] ?? '', 'embedded'),
  'accept-lists spool': async () => (await import('./spool')).acceptLists(process.argv[3] ?? '', 'spool'),
  'accept-lists direct': async () => (await import('./spool')).acceptLists(process.argv[3] ?? '', 'direct'),
  'latency direct': async () => (await import('./spool')).latencySubject(process.argv[3] ?? '', 'direct'),
  'latency spool': async () => (await import('./spool')).latencySubject(process.argv[3] ?? '', 'spool'),
  'submit kafkajs': async () => (await import('./kafkajs')).kafkajsSubmits(),
};

/** Starts the requested subjects that the scenario has. */
export async function startCallers(scenario: string, subjects: readonly string[], dir: string): Promise<Remote[]> {
  const remotes: Remote[] = [];
  for (const name of subjects) {
    const role = `${scenario} ${name}`;
    if (makers[role]) remotes.push(remoteOf(name, await startProcess(__filename, [role, dir])));
  }
  return remotes;
}

function remoteOf(name: string, child: Child): Remote {
  return {
    name,
    // The other process answers with the result of `round`.
    round: async (outstanding, total, each) => (await child.ask({ outstanding, total, each } satisfies Asked)) as Round,
    usage: async () => (await child.ask({ ask: 'usage' })) as Usage, // the other process answers with the result of `usage`
    close: () => child.close(),
    kill: () => child.kill(),
  };
}

async function serve(make: () => Promise<Subject>): Promise<void> {
  const subject = await make();
  process.on('message', (asked: Asked | { readonly ask: 'close' | 'usage' }) => {
    if (!('ask' in asked)) measure(subject, asked).catch(fail);
    else if (asked.ask === 'usage') process.send?.(usage());
    else subject.close().then(() => process.exit(0), fail);
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
}
async function measure(subject: Subject, { outstanding, total, each }: Asked): Promise<void> {
  process.send?.(await round(subject, outstanding, total, each));
}
function usage(): Usage {
  globalThis.gc?.();
  const status = readFileSync('/proc/self/status', 'latin1');
  const mb = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1_024;
  return { rssMb: mb('VmRSS'), anonMb: mb('RssAnon'), cpuUs: ownCpuUs() };
}
function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}

if (require.main === module) {
  const make = makers[process.argv[2] ?? ''];
  if (!make) throw new Error(`no subject is called '${process.argv[2]}'`);
  serve(make).catch(fail);
}

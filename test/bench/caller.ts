/** Runs each contender in its own process, so that contenders share no event loop and no heap. */
import { startProcess, type Child } from './processes';
import { round, type Contender, type Round, type Subject } from './measure';

export interface Remote extends Contender {
  close(): Promise<void>;
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
    close: () => child.close(),
  };
}

async function serve(make: () => Promise<Subject>): Promise<void> {
  const subject = await make();
  process.on('message', (asked: Asked | { readonly ask: 'close' }) => {
    const answered = 'ask' in asked ? subject.close() : measure(subject, asked);
    answered.then(() => 'ask' in asked && process.exit(0), fail);
  });
  process.on('disconnect', () => process.exit(0));
  process.send?.('ready');
}
async function measure(subject: Subject, { outstanding, total, each }: Asked): Promise<void> {
  process.send?.(await round(subject, outstanding, total, each));
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

/** From a fresh clone to the first message, and one suite of tests for all transports (IMP-7, IMP-8). */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { count, ms, type Figure } from './figures';
import type { Around, Scenario } from './scene';
import { needBuild, root } from './site';

const run = promisify(execFile);
/** Commands of a user until the site has handled its first pictures. The last one shows that they were handled. */
const commands = ['git clone', 'cd busbar', 'npm ci', 'npm start', 'npx busbar queues'] as const;
const commandsMax = 5;
/** The line of README.md that a user copies. */
const quickStart = 'npm ci && npm start';
const ports = ['log', 'groups', 'messenger', 'registry', 'settings'] as const;
const transports = ['memory', 'embedded', 'servers'] as const;

export const stranger: Scenario = {
  title: 'from a fresh clone to the first message, and the tests that all transports share',
  run: async (around) => [await start(around), ...(await conform(around))],
};

/** Starts the photo site as README.md describes. The short form runs the build of this folder instead of a clone. */
async function start(around: Around): Promise<Figure> {
  const { short, dir, say } = around;
  const clone = short ? root : join(dir, 'busbar');
  const env = { ...process.env, PORT: '0', XDG_STATE_HOME: join(dir, 'state'), SITE_DIR: join(dir, 'site') };
  const beganMs = performance.now();
  if (short) needBuild();
  else {
    await run('git', ['clone', '--quiet', root, clone]);
    await run('npm', ['ci'], { cwd: clone, env });
    say(`cloned and installed after ${ms(performance.now() - beganMs)}`);
  }
  const isDescribed = readFileSync(join(clone, 'README.md'), 'utf8').includes(quickStart);
  const [program, args] = short ? [process.execPath, ['build/modules/start.js']] : ['npm', ['start']];
  // A group of its own, so that Ctrl-C reaches npm and the site as on a terminal.
  const site = spawn(program, args, { cwd: clone, env, detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(site, 'exit');
  try {
    await printed(site.stdout, /added 6 sample pictures/);
    const tookMs = performance.now() - beganMs;
    const { stdout } = await run(process.execPath, ['dist/cli/main.js', 'queues', '--ns', 'photo-site'], {
      cwd: clone,
      env,
    });
    const isShown = stdout.includes('thumbnails.work');
    return {
      row: 'IMP-7',
      what: short ? 'the first message of a build' : 'fresh clone to the first message: commands, time',
      authors: 'complicated configuration',
      ours: short ? ms(tookMs) : `${commands.length} (${commands.join(', ')}), ${ms(tookMs)}`,
      ok: isDescribed && isShown && commands.length <= commandsMax,
    };
  } finally {
    if (site.pid !== undefined) process.kill(-site.pid, 'SIGINT');
    await ended;
  }
}

/** Resolves when a line matches. Rejects at the end of the stream. */
async function printed(stream: NodeJS.ReadableStream, words: RegExp): Promise<void> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: stream })) {
    if (words.test(line)) {
      stream.resume(); // otherwise the pipe fills up, and the site waits
      return;
    }
    lines.push(line);
  }
  throw new Error(`not printed: ${String(words)}\n${lines.join('\n')}`);
}

type Transport = (typeof transports)[number];
/** Returns the transport that a test file runs a suite on. Brokers in memory are not among them. */
function transportOf(file: string): Transport | undefined {
  if (file.includes('test/memory/')) return 'memory';
  if (file.includes('test/embedded/')) return 'embedded';
  return file.endsWith('.kafka.test.ts') ? 'servers' : undefined;
}

/** Compares the suites that run on each transport. The full form runs them. */
async function conform(around: Around): Promise<readonly Figure[]> {
  const used = new Map<Transport, Set<string>>(transports.map((transport) => [transport, new Set()]));
  const files: string[] = [];
  for (const folder of ['memory', 'embedded', 'kafka', 'zookeeper']) {
    for (const name of readdirSync(join(root, 'test', folder))) {
      const file = `test/${folder}/${name}`;
      const transport = transportOf(file);
      if (!transport || !name.endsWith('.test.ts')) continue;
      const suites = [...readFileSync(join(root, file), 'utf8').matchAll(/conformsTo(\w+)\('/g)].map(([, suite = '']) =>
        suite.toLowerCase(),
      );
      for (const suite of suites) used.get(transport)?.add(suite);
      if (suites.length > 0) files.push(file);
    }
  }
  const lacking = transports.flatMap((transport) =>
    ports.filter((port) => !used.get(transport)?.has(port)).map((port) => `${port} on ${transport}`),
  );
  const figure: Figure = {
    row: 'IMP-8',
    what: `suites (${ports.join(', ')}) on ${transports.join(', ')}`,
    authors: 'relies on third-party code',
    ours: lacking.length === 0 ? 'the same' : `lacking: ${lacking.join('; ')}`,
    ok: lacking.length === 0,
  };
  return around.short ? [figure] : [figure, ...(await runSuites(around, files))];
}

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}
async function runSuites({ cluster, dir }: Around, files: readonly string[]): Promise<readonly Figure[]> {
  const output = join(dir, 'suites.json');
  const env = { ...process.env, KAFKA_BROKERS: cluster.brokers, ZOOKEEPER: cluster.zookeeper };
  const projects = ['--selectProjects', 'unit', 'full', 'kafka', '--runTestsByPath', ...files];
  const ended = run('npx', ['jest', ...projects, '--json', `--outputFile=${output}`], {
    cwd: root,
    env,
    maxBuffer: 1e9,
  });
  await ended.catch(() => undefined); // the report has what failed
  if (!existsSync(output)) throw new Error('jest wrote no report');
  const { testResults } = JSON.parse(readFileSync(output, 'utf8')) as Report; // the format of jest
  return transports.map((transport) => {
    const of = testResults.filter(({ name }) => transportOf(name) === transport);
    const results = of.flatMap(({ assertionResults }) => assertionResults.map(({ status }) => status));
    const passed = results.filter((status) => status === 'passed').length;
    const failed = results.filter((status) => status === 'failed').length;
    return {
      row: 'IMP-8',
      what: `tests of these suites on ${transport}`,
      authors: '',
      ours: `${count(passed)} passed, ${count(failed)} failed`,
      ok: passed > 0 && failed === 0,
    };
  });
}

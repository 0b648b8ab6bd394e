/** `npm start`: the photo site as six processes on this machine, restarted when they die, ended by Ctrl-C. */
import { resolve } from 'node:path';
import { freePorts } from './ports';
import { samples } from './samples';
import { Supervisor } from './supervise';
import { upload } from './upload';

const firstPort = Number(process.env['PORT'] ?? 3000);
const stopWithinMs = 10_000;
/** The configuration with the site's namespace, which separates it from other programs of this user. */
const siteConfig = resolve(__dirname, '..', '..', 'config', 'default.json');

const colours = [36, 33, 35, 32, 34, 31];
const withColours = process.stdout.isTTY && !process.env['NO_COLOR'];
const names: string[] = [];
let failed = false;

function print(name: string, line: string): void {
  if (!names.includes(name)) names.push(name);
  const label = name.padEnd(13);
  const coloured = withColours ? `\x1b[${colours[names.indexOf(name) % colours.length]}m${label}\x1b[0m` : label;
  process.stdout.write(`${coloured} ${line}\n`);
}

async function addSamples(urls: readonly string[]): Promise<void> {
  const all = await samples();
  const [first = ''] = urls;
  for (const sample of all) await upload(urls, sample);
  print('start', `added ${all.length} sample pictures to ${first}, since the gallery was empty`);
}

async function isEmpty(urls: readonly string[]): Promise<boolean> {
  for (let tries = 0; tries < 100; tries++) {
    const response = await fetch(`${urls[0]}/photos`).catch(() => undefined);
    if (response?.ok) return ((await response.json()) as { total: number }).total === 0; // as web/site.ts sends it
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the gallery did not answer within 10 s; see the lines above');
}

async function main(): Promise<void> {
  let gaveUp = (_name: string): void => undefined;
  const stopped = new Promise<never>((_resolve, reject) => {
    gaveUp = (name) => reject(new Error(`${name} is needed and does not run; see the lines above`));
  });
  stopped.catch(() => undefined); // once the site is running, the other processes continue without it
  const siteDir = resolve(process.env['SITE_DIR'] ?? 'data');
  const supervisor = new Supervisor({
    folder: __dirname,
    env: { BUSBAR_LOG_FORMAT: 'text', BUSBAR_CONFIG: siteConfig, ...process.env, SITE_DIR: siteDir },
    print,
    gaveUp: (name) => gaveUp(name),
  });
  leaveOnSignals(supervisor);
  const ports = await freePorts(2, firstPort);
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  supervisor.start({ name: 'photos', script: 'photos/index.js' });
  supervisor.start({ name: 'thumbnails-1', script: 'thumbnails/index.js' });
  supervisor.start({ name: 'thumbnails-2', script: 'thumbnails/index.js' });
  supervisor.start({ name: 'search', script: 'search/index.js' });
  for (const [index, port] of ports.entries()) {
    supervisor.start({ name: `web-${index + 1}`, script: 'web/index.js', env: { PORT: String(port) } });
  }
  const empty = await Promise.race([isEmpty(urls), stopped]);
  print('start', `the photo site is up: ${urls.join('  and  ')}   (files: ${siteDir}; Ctrl-C ends it)`);
  if (empty) await addSamples(urls);
}

/** Stops the web instances first, so that their running requests still reach the other modules. */
function leaveOnSignals(supervisor: Supervisor): void {
  let asked = false;
  const leave = async (): Promise<void> => {
    if (asked) {
      supervisor.killAll();
      process.exit(130);
    }
    asked = true;
    print('start', 'leaving; once more ends everything at once');
    await supervisor.stop(['web-1', 'web-2'], stopWithinMs);
    await supervisor.stop(['photos', 'thumbnails-1', 'thumbnails-2', 'search'], stopWithinMs);
    process.exit(failed ? 1 : 0);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void leave());
}

main().catch((error: unknown) => {
  print('start', error instanceof Error ? error.message : String(error));
  failed = true;
  process.kill(process.pid, 'SIGTERM');
});

/** Provides the jars of the servers. Maven fetches them once into a cache outside of the repository. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Full versions of the names that tests use. */
export const versions = { '4.1': '4.1.1', '3.9': '3.9.1' } as const;
const zookeeperVersion = '3.9.4';
export type KafkaVersion = keyof typeof versions;

const cache = process.env.TEST_CLUSTER_CACHE ?? path.join(os.homedir(), '.cache', 'busbar-cluster');

/** Recipe of a cached folder. An existing folder is always complete. */
interface Part {
  readonly name: string;
  make(folder: string): Promise<void>;
}

const kafka = (version: KafkaVersion): Part => jarsOf('kafka', versions[version]);
const zookeeper = jarsOf('zookeeper', zookeeperVersion);

export function kafkaJars(version: KafkaVersion): Promise<string> {
  return cached(kafka(version));
}
export function zookeeperJars(): Promise<string> {
  return cached(zookeeper);
}

function jarsOf(what: string, version: string): Part {
  const name = `${what}-${version}`;
  const [pom, property] = [`${what}.pom.xml`, `-D${what}.version=${version}`];
  return {
    name,
    async make(folder) {
      progress(`fetching the jars of ${name} with Maven, once`);
      const goal = ['dependency:copy-dependencies', `-DoutputDirectory=${folder}`, '-DincludeScope=runtime'];
      await run('mvn', ['-q', '-B', '-f', path.join(__dirname, pom), property, ...goal], { timeout: 600_000 });
    },
  };
}

/** Returns the folder of `part` and makes it if it is missing. Two runs can make it at once; the first rename wins. */
export async function cached(part: Part): Promise<string> {
  const folder = path.join(cache, part.name);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const own = await mkdtemp(path.join(cache, `.${part.name}-`));
  try {
    await part.make(own);
    await rename(own, folder);
  } catch (error) {
    if (!existsSync(folder)) throw error;
  } finally {
    await rm(own, { recursive: true, force: true });
  }
  return folder;
}

export function progress(line: string): void {
  process.stderr.write(`cluster: ${line}\n`);
}

/** Returns the reason why servers cannot be started here; undefined when they can. */
export async function whyNoJava(version: KafkaVersion): Promise<string | undefined> {
  const java = await run('java', ['-version']).catch(() => undefined);
  const major = Number(/version "(?:1\.)?(\d+)/.exec(java?.stderr ?? '')?.[1] ?? 0);
  if (major < 17) return major === 0 ? 'there is no Java' : `Java is ${major}, not 17 or later`;
  if ([kafka(version), zookeeper].every(({ name }) => existsSync(path.join(cache, name)))) return undefined;
  const maven = await run('mvn', ['--version']).catch(() => undefined);
  return maven === undefined ? 'there is no Maven to fetch the jars' : undefined;
}

/** Configures the ZooKeeper of the test cluster. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { zookeeperJars } from './jars';
import { zookeeperServes } from './ports';
import { JavaServer } from './server';

/** Makes the server without starting it. Sessions can be as short as one second. */
export async function makeZookeeper(
  dir: string,
  port: number,
  more: Readonly<Record<string, string>> = {},
): Promise<JavaServer> {
  const jars = await zookeeperJars();
  const name = 'zookeeper';
  const file = path.join(dir, `${name}.cfg`);
  const data = path.join(dir, name);
  await mkdir(data);
  const settings = {
    dataDir: data,
    clientPort: `${port}`,
    clientPortAddress: '127.0.0.1',
    tickTime: '500',
    maxClientCnxns: '0',
    'admin.enableServer': 'false',
    '4lw.commands.whitelist': 'ruok,srvr',
    ...more,
  };
  await writeFile(
    file,
    Object.entries(settings)
      .map(([key, value]) => `${key}=${value}\n`)
      .join(''),
  );
  const java = ['-Xmx128m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  const say = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', `${jars}/*`];
  const main = 'org.apache.zookeeper.server.quorum.QuorumPeerMain';
  return new JavaServer({
    name,
    dir,
    java: [...java, ...say, main, file],
    serves: () => zookeeperServes(port),
    startMs: 180_000,
  });
}

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { until } from './ports';

/** Starts a watchdog and a process that it watches, and prints the folder and the process id. */
const script = `
  require(${JSON.stringify(path.join(__dirname, '../register.cjs'))});
  const { startWatchdog } = require(${JSON.stringify(path.join(__dirname, 'watchdog.ts'))});
  const { dir } = startWatchdog();
  const server = require('node:child_process').spawn('sleep', ['300'], { detached: true, stdio: 'ignore' });
  require('node:fs').writeFileSync(dir + '/server.pid', String(server.pid));
  console.log(dir + ' ' + server.pid);
  setInterval(() => undefined, 1000);
`;

describe('the watchdog of a cluster', () => {
  let run: ChildProcess | undefined;
  let server = 0;
  afterEach(() => {
    run?.kill('SIGKILL');
    if (server > 0 && isAlive(server)) process.kill(server, 'SIGKILL');
  });

  it('kills the servers and removes their files when the run is killed with SIGKILL', async () => {
    run = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const line = await new Promise<string>((resolve) => run?.stdout?.once('data', (text) => resolve(String(text))));
    const [dir = '', pid = ''] = line.trim().split(' ');
    server = Number(pid);
    expect([isAlive(server), existsSync(dir)]).toEqual([true, true]);
    run.kill('SIGKILL');
    await until('the server is gone', 60_000, () => Promise.resolve(!isAlive(server)));
    await until('the folder is gone', 60_000, () => Promise.resolve(!existsSync(dir)));
  }, 150_000);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

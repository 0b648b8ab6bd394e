/** Ends the servers when the run ends in any way: a shell waits until its standard input closes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Reads until the process at the other end has ended, kills the processes of the pid files, and removes the folder. */
const script = `
cat >/dev/null
for file in "$0"/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")"; done
rm -rf "$0" || { sleep 1; rm -rf "$0"; }
`;

export interface Watchdog {
  /** A new folder; each server writes its process id into `<name>.pid` there. */
  readonly dir: string;
  /** Kills all servers and removes the folder. Resolves when that is done. */
  end(): Promise<void>;
}

export function startWatchdog(): Watchdog {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'busbar-cluster-'));
  const child = spawn('sh', ['-c', script, dir], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
  const gone = once(child, 'exit');
  child.unref();
  return {
    dir,
    async end() {
      child.ref();
      child.stdin.end();
      await gone;
    },
  };
}

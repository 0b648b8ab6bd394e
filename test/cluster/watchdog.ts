/** Ends the servers of a run with the run, however that ends: a shell that waits for its standard input to close. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Reads until whoever holds the other end is gone, kills what the pid files name, and removes the folder. */
const script = `
cat >/dev/null
for file in "$0"/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")"; done
rm -rf "$0" || { sleep 1; rm -rf "$0"; }
`;

export interface Watchdog {
  /** A fresh folder; a server notes its process id in it as `<name>.pid`. */
  readonly dir: string;
  /** Kills all servers, removes the folder, and resolves when that is done. */
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

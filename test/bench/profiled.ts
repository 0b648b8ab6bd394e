/** Loaded first into each process of a benchmark by `npm run profile`: writes a CPU profile when the process ends. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { basename, join } from 'node:path';

const [, file = '', role = ''] = process.argv;
const folder = process.env['BENCH_PROFILES'];
if (folder && file.startsWith(__dirname)) {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.setSamplingInterval', { interval: 200 });
  session.post('Profiler.start');
  process.once('exit', () => {
    // the callback runs before `post` returns, so that the file is complete when the process ends
    session.post('Profiler.stop', (error, stopped) => {
      if (error) return;
      mkdirSync(folder, { recursive: true });
      const name = `${basename(file, '.js')}-${role.replace(/[^a-z0-9-]/gi, '_').slice(0, 40)}-${process.pid}.cpuprofile`;
      writeFileSync(join(folder, name), JSON.stringify(stopped.profile));
    });
  });
}

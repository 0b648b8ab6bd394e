import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { built, needBuild } from './site';

jest.setTimeout(240_000);
beforeAll(needBuild);

test('the demo kills five working processes and accounts for every message', () => {
  const { status, stdout } = spawnSync(process.execPath, [join(built, 'demo.js')], {
    encoding: 'utf8',
    timeout: 180_000,
  });
  expect(stdout.match(/kill -9/g)).toHaveLength(5);
  expect(stdout).toMatch(/^thumbnails \(work\) +47 +44 +3 +\d+ +0 +0$/m);
  expect(stdout).toMatch(/^added \(event\) +47 +47 +0 +\d+ +0 +0$/m);
  expect(stdout).toMatch(/^found by search +47 +47 +0 +0 +0 +0$/m);
  expect(stdout).toContain('half a JPEG: VipsJpeg: premature end of JPEG image');
  expect(status).toBe(0);
});

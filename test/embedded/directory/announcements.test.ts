/** The announcements in a folder: damage is reported once, and a file that cannot be read is retried. */
import fs from 'node:fs';
import path from 'node:path';
import { systemClock, systemRandom } from '../../../src/base/clock';
import { Announcements } from '../../../src/embedded/directory/announcements';
import { newAddress } from '../../../src/embedded/directory/process-liveness';
import { instance } from '../instance';
import { cleanUp, freshDirectory, keptNotices } from '../../support/embedded-buses';

afterEach(async () => {
  jest.restoreAllMocks();
  await cleanUp();
});

function announcements() {
  const folder = freshDirectory();
  const { notices, kept } = keptNotices();
  let nowMs = 0;
  const clock = { ...systemClock, now: () => nowMs };
  const opened = new Announcements({ folder, address: 'own', clock, alive: () => true, notices });
  const address = newAddress(systemRandom);
  const file = path.join(folder, `${address}.1`);
  const text = JSON.stringify(instance(address, 'echo', { name: 'echo#other' }));
  fs.writeFileSync(file, text);
  // Long ago, so that an unchanged folder is not read again.
  fs.utimesSync(folder, 1_000, 1_000);
  nowMs = 2_000_000;
  const names = () => [...opened.entries.values()].map(({ instance: { name } }) => name);
  return { opened, file, address, text, names, types: () => kept.map(({ type }) => type), folder };
}
function failingReads(code: string) {
  const error = Object.assign(new Error(`${code}: it failed, open`), { code, syscall: 'open' });
  return jest.spyOn(fs, 'readFileSync').mockImplementation(() => {
    throw error;
  });
}

test.each(['EMFILE', 'EIO', 'EACCES'])('an announcement whose read fails with %s is read again', (code) => {
  const { opened, file, names, types } = announcements();
  const failing = failingReads(code);
  opened.read();
  opened.read();
  expect(names()).toEqual([]);
  expect(opened.fault).toMatch(`${file} cannot be read: ${code}: it failed, open. Check its permissions`);
  failing.mockRestore();
  opened.read();
  expect(names()).toEqual(['echo#other']);
  expect(opened.fault).toBeUndefined();
  expect(types()).toEqual(['instance']);
});

test('an announcement whose read fails after a ring is read again by the next poll', () => {
  const { opened, file, names } = announcements();
  opened.read();
  const next = path.basename(file).replace(/1$/, '2');
  fs.renameSync(file, path.join(path.dirname(file), next));
  fs.utimesSync(path.dirname(file), 1_000, 1_000);
  const failing = failingReads('EMFILE');
  opened.readOne(next);
  failing.mockRestore();
  opened.read();
  expect([names(), [...opened.entries.values()].map((entry) => entry.file)]).toEqual([['echo#other'], [next]]);
});

test('a fault names one file and the number of others, and ends with their removal', () => {
  const { opened, file, folder, text } = announcements();
  const other = newAddress(systemRandom);
  fs.writeFileSync(path.join(folder, `${other}.1`), text);
  const failing = failingReads('EIO');
  opened.read();
  expect(opened.fault).toMatch(/\.1, and 1 more cannot be read: EIO/);
  fs.rmSync(file);
  fs.rmSync(path.join(folder, `${other}.1`));
  opened.read();
  failing.mockRestore();
  expect(opened.fault).toBeUndefined();
});

test('an announcement with damaged content is reported once, and not read again', () => {
  const { opened, file, names, types, folder } = announcements();
  fs.writeFileSync(file, '{');
  opened.read();
  fs.utimesSync(folder, 1_001, 1_001);
  const reading = jest.spyOn(fs, 'readFileSync');
  opened.read();
  expect([names(), types(), reading.mock.calls]).toEqual([[], ['dropped'], []]);
  expect(opened.fault).toBeUndefined();
});

/** Announcements of one instance: contracts, leaving, and failures of the registry. */
import { BusError } from '../../src/base/errors';
import { createAnnouncer } from '../../src/bus/announcer';
import type { Phase } from '../../src/bus/phase';
import type { Instance } from '../../src/ports/registry';

function open() {
  const announced: Instance[] = [];
  const phase: { name: Phase['name'] } = { name: 'open' };
  const messenger = { address: 'here' };
  let failure: Error | undefined;
  const announcer = createAnnouncer({
    phase,
    messenger,
    registry: {
      async announce(instance) {
        if (failure) throw failure;
        announced.push(instance);
      },
    },
    instance: {
      name: 'photos#1',
      module: 'photos',
      incarnation: 'f',
      host: 'h',
      pid: 1,
      sinceMs: 5,
      version: '1.2.3',
    },
  });
  const fail = (error: Error | undefined): void => void (failure = error);
  return { announced, announcer, phase, messenger, fail };
}

test('each announcement has all contracts that are served at the time', async () => {
  const { announced, announcer } = open();
  await announcer.announce('busbar', 'a');
  await announcer.announce('photos', 'b');
  await announcer.announce('busbar', undefined);
  expect(announced.map(({ serves }) => serves)).toEqual([
    { busbar: 'a' },
    { busbar: 'a', photos: 'b' },
    { photos: 'b' },
  ]);
  expect(announced[0]).toEqual({
    name: 'photos#1',
    module: 'photos',
    address: 'here',
    incarnation: 'f',
    host: 'h',
    pid: 1,
    sinceMs: 5,
    version: '1.2.3',
    serves: { busbar: 'a' },
    leaving: false,
  });
});

test('an announcement has the current address of the messenger', async () => {
  const { announced, announcer, messenger } = open();
  messenger.address = 'there';
  await announcer.announce('photos', 'b');
  expect(announced).toMatchObject([{ address: 'there' }]);
});

test('a leaving instance keeps announcing that, and a closed one announces nothing', async () => {
  const { announced, announcer, phase } = open();
  await announcer.announce('photos', 'b');
  phase.name = 'leaving';
  await announcer.leave();
  await announcer.announce('photos', undefined);
  phase.name = 'closed';
  await announcer.announce('busbar', 'a');
  expect(announced.map(({ serves, leaving }) => ({ serves, leaving }))).toEqual([
    { serves: { photos: 'b' }, leaving: false },
    { serves: { photos: 'b' }, leaving: true },
    { serves: {}, leaving: true },
  ]);
});

test('a failure of the registry is Unreachable, and an error of the bus is passed on', async () => {
  const { announced, announcer, fail } = open();
  fail(new Error('EACCES'));
  await expect(announcer.announce('photos', 'b')).rejects.toMatchObject({
    code: 'Unreachable',
    message: expect.stringMatching(/^photos#1 could not be announced, .*: EACCES$/),
    details: { outcome: 'not-sent', waitedMs: 0, cause: 'EACCES' },
  });
  const denied = new BusError('NotAllowed', 'no right', { what: 'write' });
  fail(denied);
  await expect(announcer.leave()).rejects.toBe(denied);
  fail(undefined);
  await announcer.announce('photos', 'b');
  expect(announced).toMatchObject([{ serves: { photos: 'b' } }]);
});

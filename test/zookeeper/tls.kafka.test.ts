/** Registry and settings over TLS, and the errors when certificates, ports or options do not match. */
import { copyFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeClientKeys, type ClientKeys } from '../cluster/security';
import { cleanUp, freshDirectory, instance, open, tookMs, until } from '../support/zookeeper-sessions';
import { zookeeperSuite } from './suite';

afterEach(cleanUp);

zookeeperSuite(
  'ZooKeeper over TLS',
  (zookeeper) => {
    let keys: ClientKeys;
    beforeAll(async () => {
      keys = await makeClientKeys();
    });
    const tls = () => ({ caFile: keys.certFile, ...keys });
    const given = () => ({ connect: zookeeper.secure, ns: zookeeper.ns, tls: tls() });

    test('instances share announcements and settings over TLS with a digest user', async () => {
      const file = path.join(freshDirectory(), 'auth');
      writeFileSync(file, 'ann:very-secret');
      const more = { auth: { file }, ns: `${zookeeper.ns}-auth` };
      const [one, two] = [await open({ ...given(), ...more }), await open({ ...given(), ...more })];
      await one.registry.announce(instance('photos#a'));
      await one.settings.set('key', 'value', 0);
      expect((await two.registry.all()).map(({ name }) => name)).toEqual(['photos#a']);
      expect(await two.settings.get('key')).toMatchObject({ value: 'value' });
      // Servers also know this client by its certificate, so over TLS it can read its nodes without the password.
      const stranger = open({ connect: zookeeper.connect, ns: more.ns });
      await expect(stranger).rejects.toMatchObject({ code: 'NotAllowed' });
    });

    test('a session survives a restart of the server, and certificate files are reread', async () => {
      const dir = freshDirectory();
      const [certFile, keyFile] = [path.join(dir, 'cert.pem'), path.join(dir, 'key.pem')];
      copyFileSync(keys.certFile, certFile);
      copyFileSync(keys.keyFile, keyFile);
      const one = await open({ ...given(), tls: { caFile: keys.certFile, certFile, keyFile }, sessionMs: 10_000 });
      await one.registry.announce(instance('web#a'));
      rmSync(keyFile);
      await zookeeper.server.restart();
      await until('the missing file is reported', () => one.state()?.reason.includes('zookeeperTlsKeyFile'));
      copyFileSync(keys.keyFile, keyFile);
      await until('it is connected again', () => one.state()?.ok === true);
      expect((await one.registry.all()).map(({ name }) => name)).toContain('web#a');
    });

    const refusals: [string, () => Parameters<typeof open>[0], RegExp][] = [
      [
        'an untrusted server certificate',
        () => ({ ...given(), tls: { certFile: keys.certFile, keyFile: keys.keyFile } }),
        /SELF_SIGNED.*zookeeperTlsCaFile/,
      ],
      ['a missing client certificate', () => ({ ...given(), tls: { caFile: keys.certFile } }), /zookeeperTlsCertFile/],
    ];
    test.each(refusals)('%s is a Config error at once, with the option to set', async (_, options, said) => {
      let error: unknown;
      const ms = await tookMs(async () => {
        error = await open({ ...options(), sessionMs: 30_000 }).catch((thrown: unknown) => thrown);
      });
      expect(error).toMatchObject({ code: 'Config', message: expect.stringMatching(said) });
      expect(ms).toBeLessThan(10_000);
    });

    test('a mismatch between TLS and the port is Unreachable, with the option to check', async () => {
      const plain = await open({ ...given(), connect: zookeeper.connect }).catch((thrown: unknown) => thrown);
      expect(plain).toMatchObject({ code: 'Unreachable', message: expect.stringContaining('secureClientPort') });
      const { ns } = zookeeper;
      const secured = await open({ connect: zookeeper.secure, ns }).catch((thrown: unknown) => thrown);
      expect(secured).toMatchObject({ code: 'Unreachable', message: expect.stringContaining('zookeeperTls') });
    });
  },
  { tls: true, faults: true },
);

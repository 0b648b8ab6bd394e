/** Credentials of the secured listeners: users with passwords, and a self-signed server certificate. */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { cached } from './jars';

const run = promisify(execFile);

/** Users of SASL PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, with their passwords. */
export const users: Readonly<Record<string, string>> = { alice: 'alice-5ecret', bob: 'bob-5ecret' };

export interface Keys {
  /** The certificate that clients must trust, as PEM. */
  readonly caFile: string;
  /** Broker settings for TLS and SASL. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface ClientKeys {
  /** PEM file. It is the servers' own self-signed certificate. */
  readonly certFile: string;
  readonly keyFile: string;
}
/** Makes a client certificate that servers with the keys of {@link makeKeys} trust. */
export async function makeClientKeys(): Promise<ClientKeys> {
  const { caFile } = await makeKeys();
  const store = path.join(path.dirname(caFile), 'broker.p12');
  const folder = await cached({
    name: 'client-keys',
    async make(to) {
      const pass = ['-passin', `pass:${storePassword}`];
      await run('openssl', ['pkcs12', '-in', store, ...pass, '-nodes', '-nocerts', '-out', path.join(to, 'key.pem')]);
    },
  });
  return { certFile: caFile, keyFile: path.join(folder, 'key.pem') };
}

/** Returns settings of a ZooKeeper with a TLS port, on which clients must present a certificate. */
export async function zookeeperTls(port: number): Promise<Readonly<Record<string, string>>> {
  const { caFile } = await makeKeys();
  return {
    secureClientPort: `${port}`,
    secureClientPortAddress: '127.0.0.1',
    serverCnxnFactory: 'org.apache.zookeeper.server.NettyServerCnxnFactory',
    'ssl.keyStore.location': path.join(path.dirname(caFile), 'broker.p12'),
    'ssl.keyStore.password': storePassword,
    'ssl.keyStore.type': 'PKCS12',
    'ssl.trustStore.location': caFile,
    'ssl.trustStore.type': 'PEM',
  };
}

const storePassword = 'of-the-store';

export async function makeKeys(): Promise<Keys> {
  const folder = await cached({ name: 'keys', make: makeCertificate });
  return {
    caFile: path.join(folder, 'ca.pem'),
    settings: {
      'ssl.keystore.location': path.join(folder, 'broker.p12'),
      'ssl.keystore.password': storePassword,
      'ssl.keystore.type': 'PKCS12',
      'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      ...Object.fromEntries(['sasl_plaintext', 'sasl_ssl'].flatMap(loginsOf)),
    },
  };
}

function loginsOf(listener: string): [string, string][] {
  const known = Object.entries(users).map(([user, password]) => `user_${user}="${password}"`);
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required ${known.join(' ')};`;
  return [
    [`listener.name.${listener}.plain.sasl.jaas.config`, plain],
    [`listener.name.${listener}.scram-sha-256.sasl.jaas.config`, scram],
    [`listener.name.${listener}.scram-sha-512.sasl.jaas.config`, scram],
  ];
}

/** Makes a self-signed certificate, valid for ten years, for the loopback interface only. */
async function makeCertificate(folder: string): Promise<void> {
  const store = ['-keystore', path.join(folder, 'broker.p12'), '-storepass', storePassword, '-alias', 'broker'];
  const key = ['-genkeypair', '-storetype', 'PKCS12', '-keyalg', 'EC', '-groupname', 'secp256r1'];
  const who = ['-dname', 'CN=localhost', '-ext', 'SAN=DNS:localhost,IP:127.0.0.1', '-ext', 'BC=ca:true'];
  await run('keytool', [...key, ...store, '-validity', '3650', ...who]);
  const { stdout } = await run('keytool', ['-exportcert', '-rfc', ...store]);
  await writeFile(path.join(folder, 'ca.pem'), stdout);
}

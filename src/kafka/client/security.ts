/** Reads the TLS files and the login of Kafka connections. Secrets are reread for each connection and never printed. */
import { readFileSync } from 'node:fs';
import { errorMessage } from '../../base/errors';
import { KafkaError } from '../protocol/errors';

export const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'] as const;
export type Mechanism = (typeof mechanisms)[number];

/** Location of a secret. It is never the secret itself, so that settings can be printed. */
export type Secret = { readonly env: string } | { readonly file: string };

export interface Security {
  /** PEM files for TLS. Without this object, connections are not encrypted. */
  readonly tls?: {
    /** Certificate authorities to trust. Default: the list of Node.js. */
    readonly caFile?: string;
    /** Client certificate, for brokers that require one. */
    readonly certFile?: string;
    readonly keyFile?: string;
  };
  readonly sasl?: { readonly mechanism: Mechanism; readonly username: string; readonly password: Secret };
}

export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}
export interface Login {
  readonly mechanism: Mechanism;
  readonly username: string;
  readonly password: string;
}

/** Reads the TLS files. Throws SECRET if one cannot be read. */
export function readTls({ tls }: Security): TlsFiles | undefined {
  if (tls === undefined) return undefined;
  return {
    ...(tls.caFile !== undefined && { ca: readSecret(tls.caFile, 'tlsCaFile') }),
    ...(tls.certFile !== undefined && { cert: readSecret(tls.certFile, 'tlsCertFile') }),
    ...(tls.keyFile !== undefined && { key: readSecret(tls.keyFile, 'tlsKeyFile') }),
  };
}

/** Reads the login. Throws SECRET if the password is not at the configured location. */
export function readLogin({ sasl }: Security): Login | undefined {
  if (sasl === undefined) return undefined;
  const { mechanism, username, password } = sasl;
  if ('file' in password)
    return {
      mechanism,
      username,
      password: readSecret(password.file, 'saslPasswordFile')
        .toString('utf8')
        .replace(/\r?\n$/, ''),
    };
  const value = process.env[password.env];
  if (!value) {
    const message = `the password of ${username} is missing: neither saslPasswordFile nor the variable ${password.env}`;
    throw new KafkaError('SECRET', message, { sent: false });
  }
  return { mechanism, username, password: value };
}

function readSecret(file: string, option: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new KafkaError('SECRET', `${option}: ${errorMessage(error)}`, { sent: false, cause: error });
  }
}

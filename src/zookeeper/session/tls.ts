/** TLS of connections to ZooKeeper: its files, and the translation of its errors for operators. */
import { readFileSync } from 'node:fs';
import { BusError, errorMessage } from '../../base/errors';

/** Paths of PEM files. */
export interface TlsPaths {
  /**
   * Certificates to trust.
   *
   * @default the list of the system
   */
  readonly caFile?: string;
  /** Certificate of this client and its key, for servers that request one. */
  readonly certFile?: string;
  readonly keyFile?: string;
}
/** Content of the PEM files. */
export interface TlsFiles {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

/**
 * Reads the files. It is called for each connection, so that a renewed certificate needs no restart. Throws Config if a
 * file cannot be read.
 */
export function readTls({ caFile, certFile, keyFile }: TlsPaths): TlsFiles {
  return {
    ...(caFile !== undefined && { ca: read(caFile, 'zookeeperTlsCaFile') }),
    ...(certFile !== undefined && { cert: read(certFile, 'zookeeperTlsCertFile') }),
    ...(keyFile !== undefined && { key: read(keyFile, 'zookeeperTlsKeyFile') }),
  };
}
function read(file: string, option: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const fault = `${option} cannot be read: ${errorMessage(error)}`;
    throw new BusError('Config', fault, { faults: [fault] }, error, `Set ${option} to a file that this user can read.`);
  }
}

/** Failure of a connection, in terms of the options. */
export interface TlsFailure {
  /** True if only a change of certificates or options can repair it. */
  readonly untrusted: boolean;
  readonly reason: string;
}

/** Returns the failure, or undefined if the error is unrelated to TLS. */
export function tlsFailureOf(error: Error): TlsFailure | undefined {
  const { code = '' } = error as NodeJS.ErrnoException; // only read; other errors have none
  const message = errorMessage(error);
  // A port without TLS closes the connection like this, but so does a server that is shutting down.
  if (/before secure TLS connection/.test(message))
    return { untrusted: false, reason: `${message}. If this repeats, ${noTls}` };
  if (!/^(?:ERR_TLS|ERR_SSL|EPROTO|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|HOSTNAME_MISMATCH)/.test(code))
    return undefined;
  return { untrusted: true, reason: `${message} (${code}). ${remedyOf(code)}` };
}
const noTls = 'the port does not use TLS: set zookeeper to the secureClientPort of the servers';

function remedyOf(code: string): string {
  if (/WRONG_VERSION|EPROTO|PACKET_LENGTH/.test(code)) return `Probably ${noTls}`;
  if (/ALTNAME|HOSTNAME/.test(code)) return 'Use the host name of the certificate in zookeeper';
  if (/ALERT/.test(code))
    return 'The server rejects the certificate of this client: set zookeeperTlsCertFile and zookeeperTlsKeyFile';
  return 'Set zookeeperTlsCaFile to the certificate of the authority that signed it';
}

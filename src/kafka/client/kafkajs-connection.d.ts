/** Declares types of the kafkajs internals that busbar uses. kafkajs is pinned to 2.2.4, since they can change. */
declare module 'kafkajs/src/network/connection' {
  import type { Socket } from 'node:net';

  interface Log {
    namespace(): Log;
    debug(): void;
    info(): void;
    warn(): void;
    error(): void;
  }
  interface Protocol<T> {
    readonly request: {
      readonly apiKey: number;
      readonly apiVersion: number;
      readonly apiName: string;
      /** Returns the fields of kafkajs's Encoder that kafkajs reads: it checks `buf` and sends `buffer`. */
      encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>;
    };
    readonly response: {
      decode(payload: Buffer): Promise<{ readonly clientSideThrottleTime: number; readonly value: T }>;
      parse(decoded: { readonly value: T }): Promise<T>;
    };
    readonly logResponseError: boolean;
  }
  class Connection {
    constructor(options: {
      readonly host: string;
      readonly port: number;
      readonly clientId: string;
      readonly logger: Log;
      readonly ssl: object | null;
      readonly sasl: object | null;
      readonly connectionTimeout: number;
      readonly requestTimeout: number;
      readonly enforceRequestTimeout: boolean;
      readonly socketFactory: (to: { readonly onConnect: () => void }) => Socket;
    });
    readonly requestQueue: {
      readonly pending: readonly unknown[];
      scheduleCheckPendingRequests(): void;
      destroy(): void;
    };
    /** Size of the response that is arriving, including the 4 bytes of its length. */
    readonly bytesNeeded: number;
    processData(data: Buffer): void;
    isConnected(): boolean;
    connect(): Promise<unknown>;
    authenticate(): Promise<void>;
    setVersions(versions: Readonly<Record<number, { readonly minVersion: number; readonly maxVersion: number }>>): void;
    setSupportAuthenticationProtocol(isSupported: boolean): void;
    send<T>(protocol: Protocol<T>): Promise<T>;
    rejectRequests(error: Error): void;
  }
  export = Connection;
}

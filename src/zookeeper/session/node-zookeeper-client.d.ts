/**
 * Types of node-zookeeper-client 1.1.3, which ships none. They cover what this folder uses; some of it is internal (see
 * client.ts).
 */
declare module 'node-zookeeper-client' {
  import type { EventEmitter } from 'node:events';
  import type { Socket } from 'node:net';

  export function createClient(connectionString: string, options: ClientOptions): Client;
  export interface ClientOptions {
    readonly sessionTimeout: number;
    readonly spinDelay: number;
    readonly retries: number;
    readonly sessionId?: Buffer;
    readonly sessionPassword?: Buffer;
  }

  /** Error of the library. Its code is a negative number of ZooKeeper's protocol. */
  export interface Exception extends Error {
    readonly code: number;
  }
  type Callback<T extends unknown[]> = (error: Exception | null | undefined, ...result: T) => void;

  export interface Stat {
    readonly version: number;
    /** Session that owns an ephemeral node, 8 bytes. Zeros for a persistent node. */
    readonly ephemeralOwner: Buffer;
  }
  export interface Client extends EventEmitter {
    readonly connectionManager: ConnectionManager;
    /** Requests the server to end the session. */
    close(): void;
    addAuthInfo(scheme: string, auth: Buffer): void;
    getSessionId(): Buffer;
    getSessionPassword(): Buffer;
    getSessionTimeout(): number;
    create(path: string, data: Buffer, acls: ACL[], mode: number, callback: Callback<[path: string]>): void;
    remove(path: string, version: number, callback: Callback<[]>): void;
    setData(path: string, data: Buffer, version: number, callback: Callback<[stat: Stat]>): void;
    exists(path: string, callback: Callback<[stat: Stat | null]>): void;
    getData(path: string, watch: (() => void) | undefined, callback: Callback<[data: Buffer, stat: Stat]>): void;
    getChildren(path: string, watch: (() => void) | undefined, callback: Callback<[children: string[]]>): void;
    getACL(path: string, callback: Callback<[acls: ACL[]]>): void;
    transaction(): Transaction;
  }
  export interface Transaction {
    create(path: string, data: Buffer, acls: ACL[], mode: number): Transaction;
    setData(path: string, data: Buffer, version: number): Transaction;
    remove(path: string, version: number): Transaction;
    commit(callback: Callback<[]>): void;
  }
  /** Internal to the library. */
  export interface ConnectionManager {
    /** Last transaction that this client has seen, 8 bytes. A server that is behind it refuses the connection. */
    zxid: Buffer;
    socket: Socket | undefined;
    connect(): void;
    setState(state: number): void;
    onSocketConnected(): void;
    onSocketDrain(): void;
    onSocketError(error: Error): void;
    onSocketClosed(hadError: boolean): void;
    onSocketData(bytes: Buffer): void;
  }

  export class Id {
    static readonly ANYONE_ID_UNSAFE: Id;
    static readonly AUTH_IDS: Id;
    readonly scheme: string;
  }
  export class ACL {
    constructor(permission: number, id: Id);
    readonly permission: number;
    readonly id: Id;
  }
  export const Permission: { readonly READ: number; readonly ALL: number };
  export const CreateMode: { readonly PERSISTENT: number; readonly EPHEMERAL: number };
  export interface ClientState {
    getName(): string;
  }
}

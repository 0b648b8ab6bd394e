/** One connection to one server, with promises. Each call settles: with its response, or when the connection ends. */
import { ACL, CreateMode, Id, Permission, type Exception } from 'node-zookeeper-client';
import type { Clock } from '../../base/clock';
import { deferred } from '../../base/lifecycle';
import { codes, isServerError, LostError, ServerError } from './errors';
import { openClient, type Address, type End, type GuardedClient, type Ticket } from './client';
import { readTls, type TlsPaths } from './tls';

/** User of the connection, and rights of the nodes that it creates. */
export interface Rights {
  /** User and password as `user:password`. They must not appear in a message. */
  readonly digest: string | undefined;
  /** True if every user can read the created nodes. */
  readonly worldRead: boolean;
}
/** Options of {@link connect}. */
export interface ConnectOptions {
  readonly address: Address;
  readonly ticket: Ticket | undefined;
  readonly sessionMs: number;
  /** Time until the server must have greeted, in ms. */
  readonly connectMs: number;
  readonly rights: Rights;
  /** TLS files, or undefined for a connection without TLS. */
  readonly tls?: TlsPaths | undefined;
  readonly clock: Clock;
}

/** Content of a node. */
export interface Node {
  readonly data: string;
  /** Version of the data. It starts at 0 and rises by 1 with each write. */
  readonly version: number;
  /** Session that owns an ephemeral node, in the form of {@link Connection.session}. Zeros for a persistent node. */
  readonly owner: string;
}
/** One operation of a transaction. */
export type Change =
  | { readonly do: 'create'; readonly path: string; readonly data: string }
  | { readonly do: 'set'; readonly path: string; readonly data: string }
  | { readonly do: 'remove'; readonly path: string };

/**
 * An open connection. Calls reject with {@link ServerError} if the server refuses them, and with {@link LostError} if
 * the connection ends before the response.
 */
export interface Connection {
  readonly address: Address;
  /** Id of the session, in hex. */
  readonly session: string;
  /** Session timeout that the server granted, in ms. */
  readonly sessionMs: number;
  readonly ended: Promise<End>;
  readonly alive: boolean;
  ticket(): Ticket;
  /** Creates a persistent node. */
  create(path: string, data: string): Promise<void>;
  /** Writes a node that has this version; -1 matches any version. Resolves with the new version. */
  write(path: string, data: string, version: number): Promise<number>;
  remove(path: string, version: number): Promise<void>;
  /** Applies all changes in one transaction, or none. Created nodes are ephemeral: they end with the session. */
  change(changes: readonly Change[]): Promise<void>;
  /**
   * Returns the node, or undefined if it does not exist. The first change of an existing node calls `changed`, which is
   * called at most once.
   */
  read(path: string, changed?: () => void): Promise<Node | undefined>;
  /** Returns the names of the nodes below a node, like {@link Connection.read}. */
  children(path: string, changed?: () => void): Promise<readonly string[] | undefined>;
  exists(path: string): Promise<boolean>;
  /** Returns whether every user can change the node. */
  isOpen(path: string): Promise<boolean>;
  /** Ends the connection, not the session. */
  cut(reason: string): void;
  /** Ends the session, which removes its ephemeral nodes. It gives up after `withinMs`. */
  close(withinMs: number): Promise<void>;
}

/**
 * Connects to a server. Rejects with {@link EndError} if the server does not greet within `connectMs`, or if `signal`
 * aborts.
 */
export async function connect(options: ConnectOptions, signal: AbortSignal): Promise<Connection> {
  const connection = new LibraryConnection(options);
  const { connectMs, clock } = options;
  const timer = clock.after(connectMs, () => connection.cut(`no session within ${connectMs} ms`));
  const abort = (): void => connection.cut('closed');
  signal.addEventListener('abort', abort, { once: true });
  try {
    await connection.greeted;
    return connection;
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', abort);
  }
}
/** Error of a connection that ended before the greeting. */
export class EndError extends Error {
  override readonly name = 'EndError';
  constructor(readonly end: End) {
    super(end.reason);
  }
}

type Callback<T> = (error: Exception | null | undefined, value: T) => void;

class LibraryConnection implements Connection {
  readonly address: Address;
  readonly ended: Promise<End>;
  readonly greeted: Promise<void>;
  alive = true;
  private readonly guarded: GuardedClient;
  private readonly waiting = new Set<(error: LostError) => void>();
  private readonly acls: ACL[];
  private readonly clock: Clock;

  constructor({ address, ticket, sessionMs, rights, tls, clock }: ConnectOptions) {
    const end = deferred<End>();
    const greeting = deferred<void>();
    [this.address, this.ended, this.greeted, this.clock] = [address, end.promise, greeting.promise, clock];
    this.acls = aclsOf(rights);
    this.guarded = openClient(
      { address, ticket, sessionMs, digest: rights.digest, tls: tls && readTls(tls) },
      {
        greeted: () => greeting.resolve(),
        ended: (how) => {
          this.alive = false;
          greeting.reject(new EndError(how));
          end.resolve(how);
          for (const reject of this.waiting) reject(new LostError(how.reason));
        },
      },
    );
  }

  get session(): string {
    return this.guarded.client.getSessionId().toString('hex');
  }
  get sessionMs(): number {
    return this.guarded.client.getSessionTimeout();
  }
  ticket(): Ticket {
    return this.guarded.ticket();
  }
  private get client(): GuardedClient['client'] {
    return this.guarded.client;
  }

  async create(path: string, data: string): Promise<void> {
    await this.call<string>(path, (done) =>
      this.client.create(path, Buffer.from(data), this.acls, CreateMode.PERSISTENT, done),
    );
  }
  async write(path: string, data: string, version: number): Promise<number> {
    return this.call(path, (done) =>
      this.client.setData(path, Buffer.from(data), version, (error, stat) => done(error, stat?.version ?? 0)),
    );
  }
  async remove(path: string, version: number): Promise<void> {
    await this.call<void>(path, (done) => this.client.remove(path, version, (error) => done(error)));
  }

  async change(changes: readonly Change[]): Promise<void> {
    const transaction = this.client.transaction();
    for (const change of changes) {
      const { path } = change;
      if (change.do === 'remove') transaction.remove(path, -1);
      else if (change.do === 'set') transaction.setData(path, Buffer.from(change.data), -1);
      else transaction.create(path, Buffer.from(change.data), this.acls, CreateMode.EPHEMERAL);
    }
    const paths = changes.map(({ path }) => path).join(' ');
    await this.call<void>(paths, (done) => transaction.commit((error) => done(error)));
  }

  read(path: string, changed?: () => void): Promise<Node | undefined> {
    return ifThere(
      this.call<Node>(path, (done) =>
        this.client.getData(path, changed, (error, data, stat) =>
          error
            ? done(error, none)
            : done(error, {
                data: data?.toString() ?? '',
                version: stat.version,
                owner: stat.ephemeralOwner.toString('hex'),
              }),
        ),
      ),
    );
  }
  children(path: string, changed?: () => void): Promise<readonly string[] | undefined> {
    return ifThere(this.call<string[]>(path, (done) => this.client.getChildren(path, changed, done)));
  }
  async exists(path: string): Promise<boolean> {
    return this.call(path, (done) => this.client.exists(path, (error, stat) => done(error, Boolean(stat))));
  }
  async isOpen(path: string): Promise<boolean> {
    const world = ({ permission, id }: ACL): boolean => id.scheme === 'world' && permission !== Permission.READ;
    return this.call(path, (done) =>
      this.client.getACL(path, (error, acls) => done(error, acls?.some(world) ?? false)),
    );
  }

  cut(reason: string): void {
    this.guarded.cut(reason);
  }
  async close(withinMs: number): Promise<void> {
    if (!this.alive) return;
    this.alive = false; // the library responds to later calls without a server
    const timer = this.clock.after(withinMs, () => this.cut('closed'));
    this.client.close();
    await this.ended;
    timer.cancel();
  }

  /**
   * Sends a request. The library drops pending calls when a connection ends, so they are rejected here. A second
   * callback has no effect.
   */
  private call<T>(path: string, run: (done: Callback<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.alive) return reject(new LostError('the connection has ended'));
      this.waiting.add(reject);
      run((error, value) => {
        this.waiting.delete(reject);
        if (!error) resolve(value);
        else if (endings.includes(error.code)) reject(new LostError('the connection has ended'));
        else reject(new ServerError(this.guarded.strangeCode() ?? error.code, path));
      });
    });
  }
}
/** Codes with which the library itself responds when its connection ends. */
const endings: readonly number[] = [codes.connectionLoss, codes.sessionExpired];
const none: Node = { data: '', version: 0, owner: '' };

async function ifThere<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (isServerError(error, codes.noNode)) return undefined;
    throw error;
  }
}

function aclsOf({ digest, worldRead }: Rights): ACL[] {
  if (digest === undefined) return [new ACL(Permission.ALL, Id.ANYONE_ID_UNSAFE)];
  const creator = new ACL(Permission.ALL, Id.AUTH_IDS);
  return worldRead ? [creator, new ACL(Permission.READ, Id.ANYONE_ID_UNSAFE)] : [creator];
}

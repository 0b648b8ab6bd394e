/** One connection to one server as promises, each of which ends: with its answer, or with the connection. */
import { ACL, CreateMode, Id, Permission, type Exception } from 'node-zookeeper-client';
import type { Clock } from '../../base/clock';
import { deferred } from '../../base/lifecycle';
import { codes, isServerError, LostError, ServerError } from './errors';
import { openClient, type Address, type End, type GuardedClient, type Ticket } from './client';
import { readTls, type TlsPaths } from './tls';

export interface Rights {
  /** `user:password`; never in a message. */
  readonly digest: string | undefined;
  /** Everybody may read what is made. */
  readonly worldRead: boolean;
}
export interface ConnectOptions {
  readonly address: Address;
  readonly ticket: Ticket | undefined;
  readonly sessionMs: number;
  /** From the beginning until the server has greeted. */
  readonly connectMs: number;
  readonly rights: Rights;
  /** Undefined for a connection without TLS. */
  readonly tls?: TlsPaths | undefined;
  readonly clock: Clock;
}

export interface Node {
  readonly data: string;
  /** Rises by one with each write, from 0. */
  readonly version: number;
  /** The session that it lives with, as {@link Connection.session}; zeros for those that stay. */
  readonly owner: string;
}
export type Change =
  | { readonly do: 'create'; readonly path: string; readonly data: string }
  | { readonly do: 'set'; readonly path: string; readonly data: string }
  | { readonly do: 'remove'; readonly path: string };

/** Calls reject with {@link ServerError} when refused, and with {@link LostError} when the connection ends before. */
export interface Connection {
  readonly address: Address;
  /** The session, as hex. */
  readonly session: string;
  /** The session time-out that the server granted. */
  readonly sessionMs: number;
  readonly ended: Promise<End>;
  readonly alive: boolean;
  ticket(): Ticket;
  /** Makes a node that stays. */
  create(path: string, data: string): Promise<void>;
  /** Resolves with the new version. -1 stands for any version. */
  write(path: string, data: string, version: number): Promise<number>;
  remove(path: string, version: number): Promise<void>;
  /** All of them or none, in one step for everybody; what it creates lives with the session. */
  change(changes: readonly Change[]): Promise<void>;
  /** Undefined where no node is. `changed` is called at most once, by the first change of a node that is there. */
  read(path: string, changed?: () => void): Promise<Node | undefined>;
  /** As {@link Connection.read}, of the names below a node. */
  children(path: string, changed?: () => void): Promise<readonly string[] | undefined>;
  exists(path: string): Promise<boolean>;
  /** Whether everybody may change it. */
  isOpen(path: string): Promise<boolean>;
  /** Ends the connection, not the session. */
  cut(reason: string): void;
  /** Ends the session, and with it what lives with it, or gives up after `withinMs`. */
  close(withinMs: number): Promise<void>;
}

/** Rejects with {@link EndError} when the server has not greeted within `connectMs`, or `signal` aborts. */
export async function connect(options: ConnectOptions, signal: AbortSignal): Promise<Connection> {
  const connection = new LibraryConnection(options);
  const { connectMs, clock } = options;
  const timer = clock.after(connectMs, () => connection.cut(`no greeting within ${connectMs} ms`));
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
    this.alive = false; // the library answers calls after this one without any server
    const timer = this.clock.after(withinMs, () => this.cut('closed'));
    this.client.close();
    await this.ended;
    timer.cancel();
  }

  /** The library forgets who waits when a connection ends; nobody else is asked twice. */
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
/** With these the library itself answers when its connection ends. */
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

/** One session that is kept as long as any server can be reached: connected again, and then made and read anew. */
import { every, sleep, type Clock, type Random } from '../../base/clock';
import { BusError, isBusError, sayError } from '../../base/errors';
import { closable, deferred, type Closable, type Deferred } from '../../base/lifecycle';
import type { Notices } from '../../base/notices';
import { connect, EndError, type Connection, type Rights } from './connection';
import { busErrorOf, codes, LostError, sayFault, ServerError } from './errors';
import type { Address, End, Ticket } from './client';
import type { TlsPaths } from './tls';
import { watchOver } from './watchdog';

export interface SessionParts {
  /** At least one. */
  readonly addresses: readonly Address[];
  readonly rights: Rights;
  /** Undefined for connections without TLS. */
  readonly tls?: TlsPaths | undefined;
  /** What is asked for; servers grant within their bounds. */
  readonly sessionMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly notices: Notices;
}
/** What a new connection means for those who had something on the one before. */
export interface Comeback {
  /** How long there was none. */
  readonly awayMs: number;
  /** What lived with the session before is gone, or will go. */
  readonly newSession: boolean;
}
/**
 * Makes and reads anew what a part has in ZooKeeper; done once more, soon, when it rejects. A `check` reads everything,
 * as if no watch could be trusted.
 */
export type Restore = (connection: Connection, check?: boolean) => Promise<void>;

export interface Session extends Closable {
  /** The servers, as they were given. */
  readonly where: string;
  /** As granted; as asked for until a server has answered. */
  readonly sessionMs: number;
  readonly connection: Connection | undefined;
  /** Of the connection, or of the one before: the same object as long as that lasts. */
  readonly comeback: Comeback;
  /** Why there is none, in the words of who refused last. */
  readonly reason: string;
  /**
   * Calls `run` with a connection, once there is one. Where that ends before the answer, it is called once more with
   * the next one, if it may be done twice (`again`). Rejects within a session time-out, or `withinMs`: with
   * Unreachable, where it may or may not have been done, NotAllowed, Closed, or with what `run` throws.
   */
  call<T>(what: string, again: boolean, run: (connection: Connection) => Promise<T>, withinMs?: number): Promise<T>;
  /** To be called with each new connection, in the order of these calls. */
  onConnection(restore: Restore): void;
  /** Something could not be kept up to date: all is restored soon, and until then it is told. */
  restoreSoon(reason: string): void;
}

/** Begins to connect, and does not end before it is closed, which takes half a second at most. */
export function openSession(parts: SessionParts): Session {
  return new KeptSession(parts);
}

const backoffMs = { first: 50, most: 1_000 } as const;
const connectMs = { least: 250, most: 3_000, perSession: 1 / 3 } as const;
const closeMs = 500;
/**
 * Interval of checks, on an open connection, that everything is there and can be read: no watch fires when rights are
 * withdrawn. Each connection takes a random 50-100 % of it, so that instances do not read at the same time.
 */
const checkIntervalMs = 60_000;
/** Away for so many session time-outs, another session is begun: servers that were made anew turn the old one away. */
const sessionsKept = 3;

class KeptSession implements Session {
  readonly where: string;
  connection: Connection | undefined;
  comeback: Comeback = { awayMs: 0, newSession: true };
  sessionMs: number;
  reason = 'no answer yet';
  private ticket: Ticket | undefined;
  private awaySinceMs: number;
  /** What the servers refused in a row, if all of them did: it cannot be repaired by waiting. */
  private refusal: Error | undefined;
  private refusals = 0;
  private told = true;
  private wasUp = false;
  /** Ends of connections since all was well. */
  private ends = 0;
  private readonly restores: Restore[] = [];
  private fault: string | undefined;
  private restoring: Connection | undefined;
  /** Not all was restored since, so the next connection has to do it as for this one. */
  private owed: Comeback | undefined;
  private readonly waiting = new Set<Deferred<void>>();
  private readonly closed = new AbortController();
  private closedAtMs = 0;
  private readonly running: Promise<void>;
  private readonly closing = closable(() => this.closeOnce());

  constructor(private readonly parts: SessionParts) {
    this.where = parts.addresses.map(sayAddress).join(',');
    this.sessionMs = parts.sessionMs;
    this.awaySinceMs = parts.clock.mono();
    this.running = this.run();
  }

  // --- calls

  async call<T>(
    what: string,
    again: boolean,
    run: (connection: Connection) => Promise<T>,
    withinMs?: number,
  ): Promise<T> {
    const { clock } = this.parts;
    const startMs = clock.mono();
    const leftMs = (): number => Math.max(0, startMs + (withinMs ?? this.sessionMs) - clock.mono());
    for (;;) {
      try {
        return await this.within(leftMs(), run(await this.connected(leftMs())));
      } catch (error) {
        if (again && error instanceof LostError && leftMs() > 0) continue;
        throw busErrorOf(error, what, `ZooKeeper at ${this.where}`, clock.mono() - startMs);
      }
    }
  }

  private async within<T>(ms: number, run: Promise<T>): Promise<T> {
    const late = deferred<never>();
    const timer = this.parts.clock.after(ms, () => late.reject(new LostError('no answer in time')));
    try {
      return await Promise.race([run, late.promise]);
    } finally {
      timer.cancel();
    }
  }

  private async connected(withinMs: number): Promise<Connection> {
    this.checkOpen();
    if (this.connection?.alive) return this.connection;
    if (this.refusal) throw this.noWay();
    const waiter = deferred<void>();
    const timer = this.parts.clock.after(withinMs, () => waiter.reject(this.noWay()));
    this.waiting.add(waiter);
    try {
      await waiter.promise;
    } finally {
      timer.cancel();
      this.waiting.delete(waiter);
    }
    this.checkOpen();
    if (!this.connection?.alive) throw this.noWay();
    return this.connection;
  }
  private noWay(): Error {
    return this.refusal ?? new LostError(this.reason);
  }
  private checkOpen(): void {
    if (!this.closed.signal.aborted) return;
    throw new BusError('Closed', 'this bus is closed', {
      outcome: 'not-sent',
      sinceMs: this.parts.clock.now() - this.closedAtMs,
    });
  }
  private wake(): void {
    for (const waiter of this.waiting) waiter.resolve();
  }

  // --- one connection after the other

  private async run(): Promise<void> {
    const { addresses, random, clock } = this.parts;
    let next = Math.floor(random.next() * addresses.length);
    while (!this.closed.signal.aborted) {
      const address = addresses[next++ % addresses.length];
      if (!address) return; // never: there is one
      const hadTicket = this.ticket !== undefined;
      const end = await this.one(address);
      if (this.closed.signal.aborted) return;
      this.note(address, end);
      if (end.how !== 'expired' || !hadTicket) await sleep(clock, this.pauseMs(), this.closed.signal);
    }
  }
  /** From connecting to a server to the end of that connection. */
  private async one(address: Address): Promise<End> {
    const { rights, tls, clock, sessionMs } = this.parts;
    const { least, most, perSession } = connectMs;
    const options = { address, rights, tls, clock, sessionMs, ticket: this.keptTicket() };
    // Longer with each round through the servers: one that needs more time than that would never be reached.
    const usualMs = Math.max(least, sessionMs * perSession) * 2 ** Math.min(this.rounds, 20);
    const withinMs = Math.round(Math.min(most, usualMs));
    try {
      const connection = await connect({ ...options, connectMs: withinMs }, this.closed.signal);
      this.up(connection);
      const end = await connection.ended;
      this.ticket = connection.ticket();
      this.connection = undefined;
      this.awaySinceMs = clock.mono();
      return end;
    } catch (error) {
      if (error instanceof EndError) return error.end;
      return { how: isBusError(error, 'Config') ? 'config' : 'lost', reason: sayError(error) };
    }
  }
  private keptTicket(): Ticket | undefined {
    if (this.parts.clock.mono() - this.awaySinceMs > sessionsKept * this.sessionMs) this.ticket = undefined;
    return this.ticket;
  }
  private note(address: Address, { how, reason }: End): void {
    if (how === 'expired') this.ticket = undefined;
    this.ends++;
    this.reason = `${sayAddress(address)}: ${reason}`;
    this.refusals = how === 'denied' || how === 'config' ? this.refusals + 1 : 0;
    if (this.refusals < this.parts.addresses.length) this.refusal = undefined;
    else {
      this.told ||= this.refusal === undefined; // waiting does not help any longer, so it is reported with this reason
      this.refusal = how === 'config' ? configError(this.reason) : new ServerError(codes.authFailed, this.where);
    }
    this.tell(false, `ZooKeeper is away (${this.reason}); going on with what is known`);
    if (this.refusal) this.wake();
  }
  /** The first round through all servers is quick; no two clients come back at the same moment. */
  private pauseMs(): number {
    return this.parts.random.next() * Math.min(backoffMs.most, backoffMs.first * 2 ** Math.min(this.rounds, 20));
  }
  private get rounds(): number {
    return Math.floor(this.ends / this.parts.addresses.length);
  }

  private up(connection: Connection): void {
    const { clock } = this.parts;
    const { awayMs = 0, newSession = false } = this.owed ?? {};
    this.owed = this.comeback = {
      awayMs: Math.max(awayMs, clock.mono() - this.awaySinceMs),
      newSession: newSession || this.ticket === undefined,
    };
    this.connection = connection;
    this.ticket = connection.ticket();
    if (connection.sessionMs > Math.max(this.sessionMs, this.parts.sessionMs)) this.tellLonger(connection);
    this.sessionMs = connection.sessionMs;
    [this.refusal, this.refusals, this.wasUp] = [undefined, 0, true];
    watchOver(connection, clock);
    void this.restore(connection, this.comeback.awayMs);
    const everyMs = checkIntervalMs * (0.5 + this.parts.random.next() / 2);
    const checking = every(clock, everyMs, () => {
      if (connection.alive && this.restoring !== connection) void this.restore(connection, 0, 0, true);
    });
    void connection.ended.then(() => checking.cancel());
    this.wake();
  }

  private tellLonger({ address, sessionMs }: Connection): void {
    const asked = this.parts.sessionMs;
    const granted = `ZooKeeper at ${sayAddress(address)} grants sessions of ${sessionMs} ms, not ${asked}`;
    const message = `${granted}: deaths are learnt that much later; lower its tickTime, or minSessionTimeout`;
    this.parts.notices.tell({ type: 'log', level: 'warn', message, fields: {} });
  }

  // --- what has to be made and read anew

  onConnection(restore: Restore): void {
    this.restores.push(restore);
  }

  restoreSoon(reason: string): void {
    this.fault = reason;
    const connection = this.connection;
    if (!connection?.alive || this.restoring === connection) return;
    this.tell(false, reason);
    void this.restore(connection, 0, 1);
  }

  private async restore(connection: Connection, awayMs: number, rounds = 0, check = false): Promise<void> {
    const { clock, random } = this.parts;
    this.restoring = connection;
    for (let round = rounds; connection.alive && !this.closed.signal.aborted; round++) {
      const most = Math.min(backoffMs.most, backoffMs.first * 2 ** Math.min(round, 20));
      if (round > 0) await sleep(clock, (0.5 + random.next() / 2) * most, this.closed.signal);
      if (!connection.alive) break; // it is for the next one to say what is at fault
      this.fault = undefined;
      for (const restore of this.restores) await this.attempt(() => restore(connection, check));
      if (!connection.alive) break;
      if (this.fault === undefined) {
        this.ends = 0;
        this.owed = undefined;
        this.tell(true, `connected to ${sayAddress(connection.address)} after ${Math.round(awayMs)} ms`);
        break;
      }
      this.tell(false, this.fault);
    }
    if (this.restoring === connection) this.restoring = undefined;
  }
  private async attempt(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.fault = sayFault(error);
    }
  }

  private tell(ok: boolean, reason: string): void {
    if (ok === this.told || this.closed.signal.aborted) return;
    this.told = ok;
    if (!ok && !this.wasUp) return; // whoever opens waits for it, and knows what there is to go on with
    this.parts.notices.tell({ type: 'state', part: 'zookeeper', ok, reason });
  }

  close(): Promise<void> {
    return this.closing.close();
  }
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
  private async closeOnce(): Promise<void> {
    this.closedAtMs = this.parts.clock.now();
    this.closed.abort();
    this.wake();
    await this.connection?.close(closeMs);
    await this.running;
  }
}

export function sayAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function configError(reason: string): BusError<'Config'> {
  const fault = `no connection to ZooKeeper: ${reason}`;
  const remedy = 'Correct zookeeper, the zookeeperTls* options or zookeeperAuthFile, as the message says.';
  return new BusError('Config', fault, { faults: [fault] }, undefined, remedy);
}

/** Limits the state in a commit to the bytes that brokers accept, which `offset.metadata.max.bytes` can lower. */
import type { ClusterMetadata } from '../cluster/metadata';

/**
 * Maximum size of a state with default brokers: in base64 it fills the 4,096 characters that they accept as metadata.
 */
export const stateBytesDefault = 3_072;
/** Minimum size of a state, which needs this room for its header. */
const stateBytesMin = 24;
const setting = 'offset.metadata.max.bytes';
/**
 * Timeout of a read of the limit. A broker that does not respond must not delay a partition. Its rejections show the
 * limit later.
 */
const learnMs = 1_000;
/** Minimum interval between two reads from one coordinator, because partitions can move often. */
const learnIntervalMs = 60_000;

export class CommitRoom {
  /** Limit that the coordinators report, if this process is allowed to read their settings. */
  #setMax = stateBytesDefault;
  /** Limit that follows from rejected commits. It never rises, so a repaired broker counts after a restart. */
  #takenMax = stateBytesDefault;
  /** Size of the largest state that was stored. */
  #taken = 0;
  #reported = false;
  /** Time of the last read of the setting, by coordinator. */
  readonly #learnedMs = new Map<number, number>();

  constructor(private readonly metadata: ClusterMetadata) {}

  get stateBytesMax(): number {
    return Math.min(this.#setMax, this.#takenMax);
  }

  /**
   * Reads the limit of a coordinator before commits are sent to it. Never rejects, because the setting can be
   * unreadable.
   */
  async learn(node: number): Promise<void> {
    const { client, clock } = this.metadata.parts;
    const lastMs = this.#learnedMs.get(node);
    if (lastMs !== undefined && clock.mono() - lastMs < learnIntervalMs) return;
    this.#learnedMs.set(node, clock.mono());
    const at = { node, channel: 'admin' } as const;
    const found = await client.describeBrokerConfigs(at, [setting], learnMs).catch(() => undefined);
    const characters = Number(found?.[setting] ?? NaN);
    if (!(characters >= 0)) return;
    // Base64 has four characters for three bytes.
    this.#setMax = this.#atLeastHeader(Math.min(stateBytesDefault, Math.floor(characters / 4) * 3));
    this.#report(`${setting} of broker ${node} is ${characters}`);
  }

  taken(stateBytes: number): void {
    this.#taken = Math.max(this.#taken, stateBytes);
  }

  /**
   * Lowers the limit after a commit was rejected for its size: to half of that size, or to a larger size that was
   * stored.
   */
  refused(stateBytes: number, reason: string): void {
    if (stateBytes === 0 || stateBytes > this.stateBytesMax) return; // it was built before the limit was known
    const half = Math.floor(stateBytes / 2);
    this.#taken = this.#taken < stateBytes ? this.#taken : 0; // another broker accepted more
    this.#takenMax = this.#atLeastHeader(Math.max(half, this.#taken));
    this.#report(reason);
  }

  #atLeastHeader(bytes: number): number {
    return bytes < stateBytesMin ? 0 : bytes;
  }

  /**
   * Reports a lowered limit once. Reports its end when a coordinator reports a sufficient setting and no commit was
   * rejected: which setting the rejecting broker has now is unknown.
   */
  #report(cause: string): void {
    const { notices } = this.metadata.parts;
    const isSmall = this.stateBytesMax < stateBytesDefault;
    if (isSmall === this.#reported) return;
    this.#reported = isSmall;
    const part = 'commit size';
    if (!isSmall) return notices.emit({ type: 'state', part, ok: true, reason: cause });
    const effect =
      'fewer messages settle out of order, and attempts of messages that end their process can be forgotten';
    const remedy = `Set ${setting}=4096 in server.properties of all brokers, then restart this process`;
    const reason = `the brokers do not accept commits of the usual size (${cause}), so ${effect}. ${remedy}.`;
    notices.emit({ type: 'state', part, ok: false, ready: true, reason });
  }
}

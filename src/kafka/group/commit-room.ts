/** Bytes of state that the brokers take with a commit: fewer where `offset.metadata.max.bytes` was lowered. */
import type { View } from '../cluster/metadata';

/** In base64, what brokers take as metadata of a commit unless it was lowered: 4,096 characters. */
export const stateBytesDefault = 3_072;
/** A smaller state than this has no room for its own header. */
const stateBytesMin = 24;
const setting = 'offset.metadata.max.bytes';
/** A broker that does not answer in time must not hold up a partition; its refusals show the limit later. */
const learnMs = 1_000;
/** What was read so lately is not read again, however often partitions move. */
const learnIntervalMs = 60_000;

export class CommitRoom {
  /** As the coordinators report it, where they let us read their settings. */
  #setMax = stateBytesDefault;
  /** As refusals show it. */
  #takenMax = stateBytesDefault;
  /** The largest state that was taken. */
  #taken = 0;
  #told = false;
  /** By coordinator: when its setting was read last. */
  readonly #learnedMs = new Map<number, number>();

  constructor(private readonly view: View) {}

  get stateBytesMax(): number {
    return Math.min(this.#setMax, this.#takenMax);
  }

  /** Reads the limit of a coordinator before anything is committed there. Never rejects: it may not be readable. */
  async learn(node: number): Promise<void> {
    const { wire, clock } = this.view.parts;
    const lastMs = this.#learnedMs.get(node);
    if (lastMs !== undefined && clock.mono() - lastMs < learnIntervalMs) return;
    this.#learnedMs.set(node, clock.mono());
    const at = { node, via: 'admin' } as const;
    const found = await wire.brokerConfigs(at, [setting], learnMs).catch(() => undefined);
    const characters = Number(found?.[setting] ?? NaN);
    if (!(characters >= 0)) return;
    // Base64 has four characters for three bytes.
    this.#setMax = this.#atLeastHeader(Math.min(stateBytesDefault, Math.floor(characters / 4) * 3));
    this.#report(`${setting} of broker ${node} is ${characters}`);
  }

  taken(stateBytes: number): void {
    this.#taken = Math.max(this.#taken, stateBytes);
  }

  /** The brokers refused a commit because of its size: later ones have half of it, or what was taken before. */
  refused(stateBytes: number, reason: string): void {
    if (stateBytes === 0 || stateBytes > this.stateBytesMax) return; // it was made before the limit was known
    const half = Math.floor(stateBytes / 2);
    this.#taken = this.#taken < stateBytes ? this.#taken : 0; // another broker took more
    this.#takenMax = this.#atLeastHeader(Math.max(half, this.#taken));
    this.#report(reason);
  }

  #atLeastHeader(bytes: number): number {
    return bytes < stateBytesMin ? 0 : bytes;
  }

  /** Once, until the brokers take commits of the usual size again. */
  #report(cause: string): void {
    const { notices } = this.view.parts;
    const isSmall = this.stateBytesMax < stateBytesDefault;
    if (isSmall === this.#told) return;
    this.#told = isSmall;
    const part = 'commit size';
    if (!isSmall) return notices.tell({ type: 'state', part, ok: true, reason: cause });
    const effect =
      'fewer messages settle out of order, and attempts of messages that end their process can be forgotten';
    const remedy = `Set ${setting}=4096 in server.properties of all brokers, then restart this process`;
    const reason = `the brokers do not take commits of the usual size (${cause}), so ${effect}. ${remedy}.`;
    notices.tell({ type: 'state', part, ok: false, ready: true, reason });
  }
}

/** Bytes of state that the brokers take with a commit: fewer where `offset.metadata.max.bytes` was lowered. */
import type { Notices } from '../base/notices';

/** In base64, what brokers take as metadata of a commit unless it was lowered: 4,096 characters. */
export const stateBytesDefault = 3_072;
/** A smaller state than this has no room for its own header. */
const stateBytesMin = 24;

export class CommitRoom {
  #bytesMax = stateBytesDefault;

  constructor(private readonly notices: Notices) {}

  get stateBytesMax(): number {
    return this.#bytesMax;
  }

  /** The brokers refused a commit because of its size: later ones have at most half of it, and at last no state. */
  refused(stateBytes: number, reason: string): void {
    if (stateBytes === 0 || stateBytes > this.#bytesMax) return; // it was made before the limit was known
    const isFirst = this.#bytesMax === stateBytesDefault;
    const half = Math.floor(stateBytes / 2);
    this.#bytesMax = half < stateBytesMin ? 0 : half;
    if (isFirst) this.#report(reason);
  }

  #report(said: string): void {
    const effect =
      'fewer messages settle out of order, and attempts of messages that end their process can be forgotten';
    const remedy = 'Set offset.metadata.max.bytes=4096 in server.properties of all brokers, then restart this process';
    const reason = `the brokers refuse commits of the usual size (${said}), so ${effect}. ${remedy}.`;
    this.notices.tell({ type: 'state', part: 'commit size', ok: false, ready: true, reason });
  }
}

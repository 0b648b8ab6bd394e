/** Defines a source of notices: a bus, or the notices of its parts. */
import type { Notice } from '../base/notices';

export interface Watchable {
  watch(hear: (notice: Notice) => void): () => void;
}

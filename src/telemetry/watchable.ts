/** Defines a source of notices: a bus, or the notices of its parts. */
import type { Notice } from '../base/notices';

/** A source of notices, such as a bus. */
export interface Watchable {
  /** Calls `listener` with each notice. Returns a function that ends that. */
  watch(listener: (notice: Notice) => void): () => void;
}

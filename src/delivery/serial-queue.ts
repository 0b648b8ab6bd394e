/** Runs the turns of one name one after another, and different names concurrently, within common bounds. */
import { BoundedQueue, Capacity, type Bounds } from '../base/bounded';

export interface SerialQueue {
  /** Turns of all names that wait or run. */
  readonly capacity: Capacity;
  /** Returns the count and bytes of the turns of one name. */
  share(name: string): Pick<Capacity, 'count' | 'bytes'>;
  /** Runs `turn` after all earlier turns of `name`. `turn` must not reject. Returns false when there is no room. */
  take(name: string, bytes: number, turn: () => Promise<void>): boolean;
}

type Line = BoundedQueue<() => Promise<void>>;
const nothing = { count: 0, bytes: 0 } as const;

export function createSerialQueue(max: Bounds): SerialQueue {
  const capacity = new Capacity(max);
  const lines = new Map<string, Line>();

  /** Runs the turns of one name. A running turn stays in the queue, so that it counts against the bounds. */
  async function walk(name: string, line: Line): Promise<void> {
    for (let turn = line.first; turn; turn = line.first) {
      await turn();
      line.shift();
    }
    lines.delete(name);
  }
  return {
    capacity,
    share: (name) => lines.get(name)?.capacity ?? nothing,
    take(name, bytes, turn) {
      const known = lines.get(name);
      const line = known ?? new BoundedQueue(max, capacity);
      if (!line.push(turn, bytes)) return false;
      if (known) return true;
      lines.set(name, line);
      void walk(name, line);
      return true;
    },
  };
}

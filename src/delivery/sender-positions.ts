/** Remembers how far each sender has come, so that nothing is started twice in one instance. */
import type { Stamp } from '../format/envelope';

export interface Seen {
  /**
   * Packets of one sender come in the order of their positions. True the first time; false for what is not above the
   * last position of its incarnation.
   */
  fresh(stamp: Stamp): boolean;
  /** Whether a stamp, or a later one of its sender, was here. */
  passed(stamp: Stamp | undefined): boolean;
}

const sendersKept = 100_000; // about 10 MB; the one silent longest is forgotten first

export function createSeen(sendersMax = sendersKept): Seen {
  const last = new Map<string, number>();
  return {
    fresh({ incarnation, position }) {
      const before = last.get(incarnation);
      if (before !== undefined) {
        if (position <= before) return false;
        last.delete(incarnation); // behind all others, as a map keeps the order of what was put in
        last.set(incarnation, position);
        return true;
      }
      if (last.size >= sendersMax) for (const oldest of last.keys()) if (last.delete(oldest)) break;
      last.set(incarnation, position);
      return true;
    },
    passed: (stamp) => stamp !== undefined && stamp.position <= (last.get(stamp.incarnation) ?? -1),
  };
}

/** Remembers the last position of each sender, so that one instance starts no message twice. */
import type { Stamp } from '../format/envelope-fields';

export interface SenderPositions {
  /**
   * Returns true when the position is above the last position of its incarnation, and false for a duplicate. Packets of
   * one sender arrive in the order of their positions.
   */
  isNew(stamp: Stamp): boolean;
  /** Returns true when this stamp, or a later one of its sender, has arrived. */
  isPassed(stamp: Stamp | undefined): boolean;
}

const sendersKept = 100_000; // about 10 MB; the sender that was first noted or updated longest ago is forgotten first

export function createSenderPositions(sendersMax = sendersKept): SenderPositions {
  const last = new Map<string, number>();
  return {
    isNew({ incarnation, position }) {
      const before = last.get(incarnation);
      if (before !== undefined) {
        if (position <= before) return false;
        last.delete(incarnation); // moves the sender to the end, since a map iterates in insertion order
        last.set(incarnation, position);
        return true;
      }
      if (last.size >= sendersMax) for (const oldest of last.keys()) if (last.delete(oldest)) break;
      last.set(incarnation, position);
      return true;
    },
    isPassed: (stamp) => stamp !== undefined && stamp.position <= (last.get(stamp.incarnation) ?? -1),
  };
}

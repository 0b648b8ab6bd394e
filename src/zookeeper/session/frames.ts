/** Cuts what a server sends into whole frames, so that half of one never meets the beginning of another connection. */

/** A listing of 10,000 instances is about 2 MB; what claims to be longer than this is no answer of ZooKeeper. */
const frameBytesMax = 16 * 1024 * 1024;

export interface Frames {
  /** The frames that `bytes` complete, each with its length before it. Throws when no ZooKeeper can have sent this. */
  push(bytes: Buffer): Buffer[];
}

export function openFrames(): Frames {
  let parts: Buffer[] = [];
  let held = 0;
  let wanted = 4;

  function cut(): Buffer[] {
    const frames: Buffer[] = [];
    let rest = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    while (rest.length >= 4) {
      const bytes = rest.readInt32BE(0);
      if (bytes < 0 || bytes > frameBytesMax) throw new Error(`a frame of ${bytes} bytes: this is no ZooKeeper`);
      wanted = bytes + 4;
      if (rest.length < wanted) break;
      frames.push(rest.subarray(0, wanted));
      rest = rest.subarray(wanted);
      wanted = 4;
    }
    parts = [rest];
    held = rest.length;
    return frames;
  }
  return {
    push(bytes) {
      parts.push(bytes);
      held += bytes.length;
      return held < wanted ? [] : cut();
    },
  };
}

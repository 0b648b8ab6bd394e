/** Splits the bytes of a server into complete frames, so that a partial frame never reaches the next connection. */

/**
 * Longest accepted frame, in bytes. A listing of 10,000 instances has about 2 MB, so a longer one is not from
 * ZooKeeper.
 */
const frameBytesMax = 16 * 1024 * 1024;

/** Splitter for the bytes of one connection. */
export interface Frames {
  /**
   * Returns the frames that `bytes` complete, each with its length prefix. Throws if the bytes cannot be from
   * ZooKeeper.
   */
  push(bytes: Buffer): Buffer[];
}

/** Returns an empty splitter. */
export function openFrames(): Frames {
  let parts: Buffer[] = [];
  let held = 0;
  let wanted = 4;

  function cut(): Buffer[] {
    const frames: Buffer[] = [];
    let rest = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    while (rest.length >= 4) {
      const bytes = rest.readInt32BE(0);
      if (bytes < 0 || bytes > frameBytesMax) throw new Error(`a frame of ${bytes} bytes: the server is not ZooKeeper`);
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

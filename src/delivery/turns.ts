/** Lets what has one name run one after the other, and different names side by side. */

export interface Turns {
  /** Runs `turn` after all that was taken for `name` before. `turn` must not reject. */
  take(name: string, turn: () => Promise<void>): void;
  /** Turns that wait or run. */
  readonly waiting: number;
  /** Resolves when fewer than `limit` wait or run; with 1, when none does. */
  below(limit: number): Promise<void>;
}

export function createTurns(): Turns {
  const lines = new Map<string, (() => Promise<void>)[]>();
  let waiting = 0;
  const watchers = new Set<{ readonly limit: number; readonly resolve: () => void }>();

  async function walk(name: string, line: (() => Promise<void>)[]): Promise<void> {
    for (let turn = line[0]; turn; turn = line[0]) {
      await turn();
      line.shift();
      waiting--;
      for (const watcher of watchers) if (waiting < watcher.limit && watchers.delete(watcher)) watcher.resolve();
    }
    lines.delete(name);
  }
  return {
    get waiting() {
      return waiting;
    },
    take(name, turn) {
      waiting++;
      const line = lines.get(name);
      if (line) return void line.push(turn);
      const started = [turn];
      lines.set(name, started);
      void walk(name, started);
    },
    below: (limit) =>
      waiting < limit ? Promise.resolve() : new Promise((resolve) => watchers.add({ limit, resolve })),
  };
}

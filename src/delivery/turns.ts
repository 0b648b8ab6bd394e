/** Lets what has one name run one after the other, and different names side by side. */

export interface Turns {
  /** Runs `turn` after all that was taken for `name` before. `turn` must not reject. */
  take(name: string, turn: () => Promise<void>): void;
  /** Turns that wait or run. */
  readonly waiting: number;
  /** Resolves when none waits or runs. */
  idle(): Promise<void>;
}

export function createTurns(): Turns {
  const lines = new Map<string, (() => Promise<void>)[]>();
  let waiting = 0;
  let idlers: (() => void)[] = [];

  async function walk(name: string, line: (() => Promise<void>)[]): Promise<void> {
    for (let turn = line[0]; turn; turn = line[0]) {
      await turn();
      line.shift();
      waiting--;
    }
    lines.delete(name);
    if (waiting > 0) return;
    for (const idler of idlers) idler();
    idlers = [];
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
    idle: () => (waiting === 0 ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve))),
  };
}

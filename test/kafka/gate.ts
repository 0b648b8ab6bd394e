/** A broker client and a clock that can pause and end, as those of a stopped or killed process. */
import type { Clock, Timer } from '../../src/base/clock';
import type { BrokerClient } from '../../src/kafka/client/broker-client';

export interface Gate {
  readonly client: BrokerClient;
  readonly clock: Clock;
  /** Holds back all answers and timers until `open`. Requests in flight still arrive. */
  shut(): void;
  open(): void;
  /** Drops all answers and timers from now on. */
  kill(): void;
  readonly isDead: boolean;
}

/** Wraps a broker client and a clock, which pause while the gate is shut. */
export function gate(client: BrokerClient, clock: Clock): Gate {
  let state: 'open' | 'shut' | 'dead' = 'open';
  let held: (() => void)[] = [];
  const enter = (run: () => void): void => {
    if (state === 'open') run();
    else if (state === 'shut') held.push(run);
  };
  const through = <T>(work: Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      work.then(
        (value) => enter(() => resolve(value)),
        (error: unknown) => enter(() => reject(error as Error)), // the broker client rejects with errors
      );
    });
  const asked = new Proxy(client, {
    get(target, name, receiver) {
      const method: unknown = Reflect.get(target, name, receiver);
      if (typeof method !== 'function') return method;
      return (...args: unknown[]) => {
        if (state !== 'open') return new Promise(() => undefined);
        const answer: unknown = method.apply(target, args);
        return answer instanceof Promise ? through(answer) : answer;
      };
    },
  });
  return {
    client: asked,
    clock: {
      now: () => clock.now(),
      mono: () => clock.mono(),
      after(delayMs, run): Timer {
        let cancelled = false;
        const timer = clock.after(delayMs, () => enter(() => cancelled || run()));
        return {
          cancel() {
            cancelled = true;
            timer.cancel();
          },
        };
      },
    },
    shut() {
      state = 'shut';
    },
    open() {
      state = 'open';
      const waiting = held;
      held = [];
      for (const run of waiting) run();
    },
    get isDead() {
      return state === 'dead';
    },
    kill() {
      state = 'dead';
      held = [];
    },
  };
}

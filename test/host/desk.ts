/** A module that runs as a process, for tests that signal it: `node --require test/register.cjs test/host/desk.ts`. */
import { defineModule, request, unchecked, type Bus, type Context } from 'busbar';
import { BUS, runModule, SystemModule } from 'busbar/host';

export const desk = defineModule('desk', {
  /** Answers after this number of ms; with 'told', when the test sends a message; with 'never', not at all. */
  ask: request(unchecked<number | 'never' | 'told'>(), unchecked<string>()),
  /** Throws outside of any handler. */
  stumble: request(unchecked<'throw' | 'reject'>(), unchecked<string>()),
});

class Drawer {
  async [Symbol.asyncDispose](): Promise<void> {
    console.log('drawer away');
  }
}

@SystemModule(desk, { needs: [Drawer, BUS] })
class Desk {
  constructor(
    readonly drawer: Drawer,
    readonly bus: Bus,
  ) {}
  open(): void {
    console.log(`open ${this.bus.self.module}`);
  }
  close(): void {
    console.log('close');
  }
  ask(afterMs: number | 'never' | 'told', { log }: Context): Promise<string> {
    log.info('asked', { afterMs });
    // Notifies the test that the handler runs.
    process.send?.('asked');
    if (afterMs === 'never') return new Promise(() => undefined);
    if (afterMs === 'told') return new Promise((resolve) => process.once('message', () => resolve('as told')));
    return new Promise((resolve) => setTimeout(() => resolve(`after ${afterMs} ms`), afterMs));
  }
  stumble(how: 'throw' | 'reject'): string {
    if (how === 'reject') void Promise.reject(new Error('nobody caught it'));
    else
      setImmediate(() => {
        throw new Error('nobody caught it');
      });
    return 'stumbling';
  }
}

if (require.main === module) {
  const twice = process.argv[2] === 'twice';
  void runModule(Desk).then(() => {
    if (twice) runModule(Desk).catch((error: unknown) => console.log(String(error)));
  });
}

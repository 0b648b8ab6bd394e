/** A worker that is killed: it records when each handler starts and ends. */
import { openSync, writeSync } from 'node:fs';
import { openBus } from 'busbar';
import { steady, type WorkerGiven } from './crashcontract';
import { later, onWord, tell } from './scene';

async function run({ bus: given, ledger, concurrency, handlerMs }: WorkerGiven): Promise<void> {
  const out = openSync(ledger, 'a');
  const note = (word: string, n: number, attempt: number): void =>
    void writeSync(out, `${word} ${n} ${attempt} ${Date.now()}\n`);
  const bus = await openBus({ log: false, module: steady, ...given });
  await bus.serve(
    steady,
    {
      step: async ({ n }, { attempt }) => {
        note('begin', n, attempt);
        await later(handlerMs);
        note('end', n, attempt);
      },
    },
    { concurrency },
  );
  onWord('close', () => void bus.close().then(() => process.exit(0)));
  process.on('disconnect', () => process.exit(0));
  tell('open');
}

// The scenario writes the argument as JSON, with this type.
void run(JSON.parse(process.argv[2] ?? '{}') as WorkerGiven).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});

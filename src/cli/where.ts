/**
 * Evaluates `--where`: a JavaScript expression on a message, in a worker thread. The expression has no access to the
 * process, and a limit of time and memory.
 */
import { Worker } from 'node:worker_threads';
import { sleep, systemClock } from '../base/clock';
import type { MessageView } from '../inspect';
import { Usage } from './exit';
import { toJson } from './json';

/** A test of messages. `close` ends the worker. */
export interface Where {
  /** Resolves with true if the expression is true for the message. An expression that throws is false. */
  test(message: MessageView): Promise<boolean>;
  /** Number of messages for which the expression threw, and the first error. */
  readonly failed: { readonly count: number; readonly first: string };
  close(): Promise<void>;
}

/** Maximum time of the expression for one message, in ms. */
const messageMsMax = 100;
/** Time after which a worker without an answer is ended: the limit of one message, and the start of the worker. */
const answerMsMax = 5_000;
const memoryMbMax = 64;

/**
 * Program of the worker. Only texts enter the context of the expression, so it holds no object of the worker from which
 * `process` could be reached. Code cannot be made from texts, and no module can be imported.
 */
const program = `
const { parentPort, workerData } = require('node:worker_threads');
const vm = require('node:vm');
const context = vm.createContext(Object.create(null), { codeGeneration: { strings: false, wasm: false } });
const names = ['body', 'id', 'entry', 'kind', 'from', 'key', 'timeMs', 'bytes', 'replay'];
let script;
try {
  new vm.Script('(' + workerData.expression + '\\n)');
  const take = 'const { ' + names.join(', ') + ' } = JSON.parse(text);';
  script = new vm.Script('"use strict"; (() => { ' + take + ' return Boolean(' + workerData.expression + '\\n); })()');
  parentPort.postMessage({ ready: true });
} catch (error) {
  parentPort.postMessage({ fault: String(error.message) });
}
parentPort.on('message', (text) => {
  try {
    context.text = text;
    parentPort.postMessage({ is: script.runInContext(context, { timeout: workerData.timeoutMs }) === true });
  } catch (error) {
    let fault = 'an error that cannot be shown';
    try { fault = String(error && error.message).slice(0, 200); } catch {}
    parentPort.postMessage({ is: false, fault });
  }
});`;

interface Reply {
  readonly ready?: boolean;
  readonly is?: boolean;
  readonly fault?: string;
}

/** Starts the worker. Rejects with Usage if the expression is not JavaScript. */
export async function openWhere(expression: string): Promise<Where> {
  const worker = new Worker(program, {
    eval: true,
    env: {},
    execArgv: [],
    stdin: false,
    workerData: { expression, timeoutMs: messageMsMax },
    resourceLimits: { maxOldGenerationSizeMb: memoryMbMax, maxYoungGenerationSizeMb: 16 },
  });
  worker.unref();
  const started = await reply(worker);
  if (started.fault !== undefined) {
    await worker.terminate();
    throw new Usage(`--where ${expression} is not a JavaScript expression: ${started.fault}`);
  }
  const failed = { count: 0, first: '' };
  return {
    failed,
    async test(message) {
      const answer = reply(worker);
      worker.postMessage(toJson(plainOf(message)));
      const { is = false, fault } = await answer;
      if (fault !== undefined && failed.count++ === 0) failed.first = fault;
      return is;
    },
    async close() {
      await worker.terminate();
    },
  };
}

async function reply(worker: Worker): Promise<Reply> {
  const stop = new AbortController();
  try {
    return await Promise.race([
      new Promise<Reply>((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      }),
      sleep(systemClock, answerMsMax, stop.signal).then((): Reply => {
        throw new Usage(`--where gave no answer within ${answerMsMax} ms`);
      }),
    ]);
  } finally {
    stop.abort();
    worker.removeAllListeners('message');
    worker.removeAllListeners('error');
  }
}

/** Returns the fields of a message that the expression can use. */
function plainOf({ body, id, entry, kind, from, key, timeMs, bytes, replay }: MessageView): object {
  return { body: body.ok ? body.value : null, id, entry, kind, from, key, timeMs, bytes, replay };
}

/** Yields the messages for which the expression is true; all of them without an expression. Ends the worker. */
export async function* matching<T extends MessageView>(
  messages: AsyncIterable<T>,
  expression: string | undefined,
  report: (text: string) => void,
): AsyncGenerator<T> {
  if (expression === undefined) return yield* messages;
  const where = await openWhere(expression);
  try {
    for await (const message of messages) if (await where.test(message)) yield message;
  } finally {
    await where.close();
    const { count, first } = where.failed;
    if (count > 0)
      report(`--where failed for ${count} ${count === 1 ? 'message' : 'messages'}, which are left out: ${first}`);
  }
}

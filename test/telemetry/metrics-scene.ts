/** Reads the metrics page of a bus whose handlers are busy and whose spool, if it has one, is empty. */
import { z } from 'zod';
import { defineModule, openBus, work } from '../../src/index';
import type { BusGiven } from '../../src/options';
import { until } from '../support/embedded-buses';

const photos = defineModule('photos', { resize: work(z.number()), rotate: work(z.number(), { queue: 'slow' }) });

/** Returns the lines of the page once 40 jobs wait, 2 run, and 3 are parked, and it has `more` lines. */
export async function pageOfBusyBus(options: BusGiven, ...more: readonly string[]): Promise<readonly string[]> {
  let url = '';
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const bus = await openBus({
    module: photos,
    log: false,
    healthPort: 0,
    onNotice(notice) {
      if (notice.type === 'log') url = /^health at (.*)\/health$/.exec(notice.message)?.[1] ?? url;
    },
    ...options,
  });
  const page = async (): Promise<readonly string[]> => (await (await fetch(`${url}/metrics`)).text()).split('\n');
  try {
    await bus.serve(
      photos,
      { resize: () => finished, rotate: (_, { park }) => park('square') },
      { concurrency: { resize: 2, rotate: 8 } },
    );
    await bus.submitAll(
      photos.resize,
      Array.from({ length: 42 }, (_, n) => n),
    );
    await bus.submitAll(photos.rotate, [1, 2, 3]);
    let lines: readonly string[] = [];
    // A value can be read between two steps of a message, such as the parked record and the settled message.
    await until(async () => {
      lines = await page();
      return missing(lines, [...expectedLines, ...more]).length === 0;
    }).catch(() => undefined); // the test shows what is missing
    return lines;
  } finally {
    finish();
    await bus.close();
  }
}

/** Lines that the page has on both transports. */
export const expectedLines = [
  'busbar_queue_waiting{queue="photos.work"} 40',
  'busbar_queue_waiting{queue="photos.slow"} 0',
  'busbar_queue_oldest_seconds{queue="photos.slow"} 0',
  'busbar_queue_parked{queue="photos.work",entry="photos.resize"} 0',
  'busbar_handlers_running{queue="photos.work",entry="photos.resize"} 2',
  'busbar_handlers_limit{queue="photos.work",entry="photos.resize"} 2',
  'busbar_messages_sent_total{kind="work",entry="photos.resize"} 42',
  'busbar_queueing_duration_seconds_count{kind="work",entry="photos.rotate"} 3',
];

/** Returns the lines that the page does not have. */
export function missing(page: readonly string[], lines: readonly string[]): readonly string[] {
  return lines.filter((line) => !page.includes(line));
}

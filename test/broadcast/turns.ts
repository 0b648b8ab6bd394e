/** Turns of the event loop, for tests that let promises and their follow-ups run. */

export async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise((resolve) => setImmediate(resolve));
}

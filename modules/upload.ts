/** Uploads a photo over HTTP like a patient browser: it tries the next web instance when one is down. */
import type { Sample } from './samples';

export type Uploaded =
  | { readonly status: 201; readonly id: string; readonly tries: number }
  /** Finally refused; `error` is the text that the browser would show. */
  | { readonly status: number; readonly error: string; readonly tries: number };

const triesMax = 120;
const pauseMs = 250;

/** Rejects when no instance has accepted or refused it after 120 tries. */
export async function upload(
  urls: readonly string[],
  { name, tags, type, bytes }: Sample,
  first = 0,
): Promise<Uploaded> {
  const path = `/photos?${new URLSearchParams({ name, tags: tags.join(',') }).toString()}`;
  let last = '';
  for (let tries = 1; tries <= triesMax; tries++) {
    const url = urls[(first + tries - 1) % urls.length] ?? '';
    try {
      const response = await fetch(url + path, { method: 'POST', headers: { 'content-type': type }, body: bytes });
      const answer = (await response.json()) as { id: string; error: string }; // the format of web/site.ts
      if (response.status === 201) return { status: 201, id: answer.id, tries };
      if (response.status !== 503) return { status: response.status, error: answer.error, tries };
      last = `503 ${answer.error}`;
    } catch (error) {
      last = String(error instanceof Error ? (error.cause ?? error) : error);
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  throw new Error(`${name}: not taken after ${triesMax} tries; the last answer was ${last}`);
}

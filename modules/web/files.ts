/** Streams images of the site's directory, and no other file of it. */
import { open } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { HttpError, type Visit } from './answers';

const types: Readonly<Record<string, string>> = { '.jpg': 'image/jpeg', '.png': 'image/png', '.webp': 'image/webp' };
// Only these two folders, and only file names of their modules: no dots but the last one, so no path outside.
const served = /^(thumbnails|photos\/originals)\/[0-9a-f]{32}\.(jpg|png|webp)$/;

/**
 * Serves `/files/` and a file reference of a message, such as `thumbnails/<id>.webp`. Throws HttpError 404 for other
 * paths.
 */
export async function sendFile(siteDir: string, { request, response, url }: Visit): Promise<void> {
  const file = url.pathname.slice('/files/'.length);
  const type = types[extname(file)];
  if (!type || !served.test(file)) throw notFound();
  const handle = await open(join(siteDir, file)).catch(() => {
    throw notFound();
  });
  try {
    const { size, mtimeMs } = await handle.stat();
    const etag = `"${size.toString(16)}-${Math.floor(mtimeMs).toString(16)}"`;
    // Names are hashes of the bytes, so a file never changes.
    const headers = { etag, 'cache-control': 'public, max-age=31536000, immutable' };
    if (matches(request.headers['if-none-match'], etag)) return void response.writeHead(304, headers).end();
    response.writeHead(200, { ...headers, 'content-type': type, 'content-length': size });
    if (request.method === 'HEAD') return void response.end();
    await pipeline(handle.createReadStream({ autoClose: false, end: Math.max(0, size - 1) }), response);
  } finally {
    await handle.close();
  }
}

function matches(header: string | undefined, etag: string): boolean {
  return header?.split(',').some((one) => one.trim().replace(/^W\//, '') === etag || one.trim() === '*') ?? false;
}
function notFound(): HttpError {
  return new HttpError(404, 'There is no such file.');
}

/** The HTML of the gallery. `esc` escapes all external text. */
import { createHash } from 'node:crypto';
import type { Output } from 'busbar';
import type { photos } from '../photos/contract';
import { script } from './script';
import { style } from './style';

export type Shown = Output<typeof photos.list>['photos'][number];
export interface Listed {
  readonly photos: readonly Shown[];
  readonly total: number;
}

/** For the content security policy: only these two are allowed. */
export const inlineHashes = [style, script].map(
  (text) => `sha256-${createHash('sha256').update(text).digest('base64')}`,
);

export const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#b3461b"/>' +
  '<circle cx="11" cy="11.500" r="3" fill="#fff"/><path d="M5 26l8-9 5 5 4-5 5 9z" fill="#fff"/></svg>';

export function page(listed: Listed, query: string, instance: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${query ? `${esc(query)} · ` : ''}Photos</title>
<link rel="icon" href="/icon.svg" type="image/svg+xml">
<style>${style}</style>
</head>
<body>
<header class="wide">
  <h1><a href="/">Photos</a></h1>
  <form role="search" action="/"><label class="hidden" for="search">Search names and tags</label>
    <input type="search" id="search" name="q" placeholder="Search names and tags" autocomplete="off" maxlength="200"
      value="${esc(query)}"></form>
</header>
<main class="wide">
  <section aria-label="Add photos">
    <div class="upload">
      <label class="drop" id="drop"><input class="hidden" type="file" id="files" multiple accept="image/jpeg,image/png">
        <span><b>Choose photos</b> or drop them here</span><small>JPEG or PNG, up to 25 MB each</small></label>
      <div class="tags"><label for="tags">Tags for them, separated by commas</label>
        <input type="text" id="tags" maxlength="200" autocomplete="off" placeholder="alps, winter"></div>
    </div>
    <noscript><p>Uploading needs JavaScript here; the gallery does not.</p></noscript>
    <ul id="uploads" aria-live="polite" aria-label="Uploads"></ul>
  </section>
  <section aria-label="Gallery">
    <div class="bar"><p id="count" role="status">${esc(count(listed, query))}</p>
      <p class="live quiet" id="live">connecting</p></div>
    <ul id="tiles">${tileList(listed, query)}</ul>
  </section>
</main>
<footer class="wide">
  This page came from ${esc(instance)}.
  <details id="instances"><summary>How the web instances are doing</summary><div class="scroll"><table>
    <thead><tr><th>Instance<th>Port<th>Viewers<th>Uploads<th>From cache<th>Asked<th>Drops</tr></thead>
    <tbody id="stats"></tbody></table></div></details>
</footer>
<script>${script}</script>
</body>
</html>
`;
}

/** Returns the list alone, for an open page. */
export function tiles(listed: Listed, query: string): string {
  return `<ul data-count="${esc(count(listed, query))}">${tileList(listed, query)}</ul>`;
}

function tileList({ photos }: Listed, query: string): string {
  if (photos.length > 0) return photos.map(tile).join('');
  return `<li class="none" data-id="none" data-state="${query ? 'search' : 'empty'}">${
    query ? 'Nothing has these words in its name or tags.' : 'No photos yet. Add the first one above.'
  }</li>`;
}

function tile(photo: Shown): string {
  const state = photo.thumbnail ? 'ready' : photo.broken === undefined ? 'making' : 'broken';
  const tags = photo.tags.map((tag) => `<li><a href="/?q=${encodeURIComponent(tag)}">${esc(tag)}</a></li>`).join('');
  return `<li class="tile" data-id="${esc(photo.id)}" data-state="${state}">
<a href="/files/${esc(photo.file)}"><div class="picture">${picture(photo)}</div></a>
<div class="words"><h2>${esc(photo.name)}</h2><p class="quiet">${sayBytes(photo.bytes)} · ${
    photo.type === 'image/png' ? 'PNG' : 'JPEG'
  } · <time datetime="${photo.addedAt.toISOString()}">${photo.addedAt.toISOString().slice(0, 10)}</time></p>${
    tags && `<ul aria-label="Tags">${tags}</ul>`
  }</div></li>`;
}

function picture({ name, thumbnail, broken }: Shown): string {
  if (thumbnail) {
    const { file, width, height } = thumbnail;
    const size = `width="${width}" height="${height}"`;
    return `<img src="/files/${esc(file)}" ${size} alt="${esc(name)}" loading="lazy" decoding="async">`;
  }
  // The message of the image library is for the operator: `busbar parked thumbnails.work` shows it.
  const damaged = 'This picture cannot be shown: the file is damaged, or not a picture. Upload it again.';
  return `<p>${broken === undefined ? 'Making the thumbnail…' : damaged}</p>`;
}

function count({ photos, total }: Listed, query: string): string {
  const making = photos.filter(({ thumbnail, broken }) => !thumbnail && broken === undefined).length;
  const what = total === 1 ? '1 photo' : `${total} photos`;
  return `${query ? `${what} found` : what}${making > 0 ? `, ${making} in the making` : ''}`;
}

function sayBytes(bytes: number): string {
  return bytes < 1_000_000 ? `${Math.max(1, Math.round(bytes / 1_000))} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
export function esc(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

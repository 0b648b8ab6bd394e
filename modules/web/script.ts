/** The browser script: it uploads with progress and follows the events. The server renders all HTML. */
export const script = /* js */ `
'use strict';
const el = (id) => document.getElementById(id);
const tiles = el('tiles'), uploads = el('uploads'), search = el('search');
const drop = el('drop'), files = el('files'), live = el('live');

// The list: requested again after a change; unchanged tiles are reused.
let asked = 0, timer;
async function refresh() {
  const turn = ++asked;
  const answer = await fetch('/tiles?q=' + encodeURIComponent(search.value)).catch(() => undefined);
  if (turn !== asked) return;
  if (!answer || !answer.ok) {
    const away = answer && answer.status === 503 ? 'Part of the site is away' : 'The site does not answer';
    el('count').textContent = away + '; trying again.';
    return soon(1500);
  }
  const fresh = document.createElement('template');
  fresh.innerHTML = await answer.text();
  if (turn !== asked) return;
  const old = new Map([...tiles.children].map((tile) => [tile.dataset.id + tile.dataset.state, tile]));
  const next = fresh.content.querySelector('ul');
  el('count').textContent = next.dataset.count;
  tiles.replaceChildren(...[...next.children].map((tile) => old.get(tile.dataset.id + tile.dataset.state) || tile));
}
function soon(delayMs) {
  clearTimeout(timer);
  timer = setTimeout(refresh, delayMs);
}
search.form.addEventListener('submit', (event) => { event.preventDefault(); refresh(); });
search.addEventListener('input', () => {
  history.replaceState(null, '', search.value ? '/?q=' + encodeURIComponent(search.value) : '/');
  soon(150);
});

// Events: the browser reconnects by itself, and the list has the events missed meanwhile.
const events = new EventSource('/events');
const say = (text, on) => { live.textContent = text; live.classList.toggle('on', on); };
events.onopen = () => { say('live', true); soon(0); };
events.onerror = () => say('connecting', false);
for (const name of ['added', 'thumbnail', 'broken', 'changed']) events.addEventListener(name, () => soon(60));

// Uploads: two at a time.
const bytesMax = 25 * 1024 * 1024; // the limit of the server
const waiting = [];
let running = 0;
function add(list) {
  for (const file of list) {
    const row = document.createElement('li');
    const name = document.createElement('span'), bar = document.createElement('progress');
    const note = document.createElement('em');
    name.textContent = file.name;
    bar.max = 1; bar.value = 0;
    bar.setAttribute('aria-label', 'Upload of ' + file.name);
    row.append(name, bar, note);
    uploads.append(row);
    if (file.size > bytesMax) fail(row, note, 'The image is larger than 25 MB.');
    else waiting.push({ file, row, bar, note, tags: el('tags').value, tries: 0 });
  }
  next();
}
function next() {
  while (running < 2 && waiting.length > 0) { running++; send(waiting.shift()); }
}
function send(upload) {
  const { file, row, bar, note, tags } = upload;
  const post = new XMLHttpRequest();
  const name = file.name.replace(/\\.[^.]+$/, '').slice(0, 120) || 'untitled';
  post.open('POST', '/photos?' + new URLSearchParams({ name, tags }));
  post.setRequestHeader('content-type', file.type || 'application/octet-stream');
  post.upload.onprogress = (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; };
  post.onloadend = () => {
    if (post.status === 201 || post.status === 200) { row.remove(); soon(60); }
    else if ((post.status === 503 || post.status === 0) && upload.tries++ < 8) {
      note.textContent = 'The site is away for a moment; trying again.';
      const seconds = Number(post.getResponseHeader('retry-after')) || 1;
      setTimeout(send, seconds * 1000, upload);
      return;
    } else fail(row, note, reasonOf(post));
    running--;
    next();
  };
  post.send(file);
}
function reasonOf(post) {
  try { return JSON.parse(post.responseText).error; } catch { return 'The site does not answer.'; }
}
function fail(row, note, message) {
  note.textContent = message;
  row.classList.add('bad');
  const away = document.createElement('button');
  away.textContent = 'Dismiss';
  away.onclick = () => row.remove();
  row.querySelector('progress').replaceWith(away);
}
files.addEventListener('change', () => { add(files.files); files.value = ''; });
let inside = 0;
const over = (by) => drop.classList.toggle('over', (inside = Math.max(0, inside + by)) > 0);
addEventListener('dragenter', (event) => { event.preventDefault(); over(1); });
addEventListener('dragleave', () => over(-1));
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => { event.preventDefault(); over(-inside); add(event.dataTransfer.files); });
addEventListener('paste', (event) => { if (event.clipboardData.files.length > 0) add(event.clipboardData.files); });

// The figures of the instances.
el('instances').addEventListener('toggle', async (event) => {
  if (!event.target.open) return;
  const answers = await fetch('/stats').then((answer) => answer.json()).catch(() => []);
  el('stats').replaceChildren(...answers.map((answer) => {
    const row = document.createElement('tr');
    for (const key of ['instance', 'port', 'viewers', 'uploads', 'hits', 'misses', 'drops']) {
      const cell = document.createElement('td');
      cell.textContent = answer[key] ?? answer.error ?? '';
      row.append(cell);
    }
    return row;
  }));
});
`;

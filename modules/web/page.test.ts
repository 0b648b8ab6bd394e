import { page, tiles, type Shown } from './page';

const photo = (more: Partial<Shown> = {}): Shown => ({
  id: '0'.repeat(32),
  name: 'Eiger',
  tags: ['alps'],
  type: 'image/jpeg',
  bytes: 1_500_000,
  file: `photos/originals/${'0'.repeat(32)}.jpg`,
  addedAt: new Date(0),
  ...more,
});

test('external text cannot become markup', () => {
  const evil = `"><img src=x onerror=alert('1')>`;
  const html = page({ photos: [photo({ name: evil, tags: [evil], broken: evil })], total: 1 }, evil, 'web#1');
  expect(html).not.toContain('<img src=x');
  expect(html).toContain('&quot;&gt;&lt;img src=x onerror=alert(&#39;1&#39;)&gt;');
});

test('a photo is shown as pending, ready or broken, without library messages', () => {
  const thumbnail = { file: 'thumbnails/x.webp', width: 480, height: 360 };
  const html = tiles({ photos: [photo(), photo({ thumbnail }), photo({ broken: 'premature end' })], total: 3 }, '');
  expect(html.match(/data-state="(\w+)"/g)).toEqual([
    'data-state="making"',
    'data-state="ready"',
    'data-state="broken"',
  ]);
  expect(html).toContain('src="/files/thumbnails/x.webp" width="480" height="360" alt="Eiger"');
  expect(html).not.toContain('premature end');
  expect(html).toContain('the file is damaged, or not a picture');
  expect(html).toContain('data-count="3 photos, 1 in the making"');
});

test('a tall picture is cropped to its tile and does not stretch the row', () => {
  const html = page({ photos: [photo()], total: 1 }, '', 'web#1');
  const ruleOf = (selector: string): string => html.split(`\n${selector} {`)[1]?.split('}')[0] ?? '';
  expect(ruleOf('.picture')).toMatch(/position: relative; overflow: hidden; aspect-ratio: 4 \/ 3/);
  expect(ruleOf('.picture img')).toMatch(/position: absolute; inset: 0; .*object-fit: cover/);
});

test('an empty gallery and an empty search result have messages', () => {
  expect(tiles({ photos: [], total: 0 }, '')).toContain('No photos yet');
  expect(tiles({ photos: [], total: 0 }, 'eiger')).toContain('Nothing has these words');
});

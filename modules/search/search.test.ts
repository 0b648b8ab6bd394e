import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serveModule } from 'busbar/host';
import { testBus } from 'busbar/testing';
import { photos } from '../photos/contract';
import { search } from './contract';
import { Search, SearchIndex } from './search';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'busbar-search-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const added = (id: string, name: string, tags: string[]) => ({
  id: id.repeat(32),
  name,
  tags,
  type: 'image/jpeg' as const,
  bytes: 1,
  file: 'photos/originals/x.jpg',
  addedAt: new Date(0),
});

async function startSearch(bus = testBus(search)) {
  await serveModule(bus, new Search(new SearchIndex(join(folder, 'words.jsonl'))));
  return bus;
}

test('a photo is found by its name and its tags on every instance', async () => {
  const bus = await startSearch();
  await startSearch(bus.as(search));
  const teller = bus.as('photos');
  await teller.publish(photos.added, added('a', 'Eiger', ['alps']));
  await teller.publish(photos.added, added('b', 'Atlantic', ['sea']));
  await bus.settled();
  for (const answer of await bus.as('web').requestAll(search.find, { text: 'alp', limit: 10 })) {
    expect(answer).toMatchObject({ ok: true, value: { ids: ['a'.repeat(32)] } });
  }
  expect(await bus.as('web').request(search.find, { text: 'desert', limit: 10 })).toEqual({ ids: [] });
});

/** Finds photos by the words of their names and tags. Hears of each photo once, durably, whichever instance is up. */
import { join, resolve } from 'node:path';
import { handler, type Bus } from 'busbar';
import { BUS, SystemModule } from 'busbar/host';
import { photos } from '../photos/contract';
import { search } from './contract';
import { Words, wordsOf } from './words';

export class SearchIndex extends Words {
  constructor(path = join(resolve(process.env['SITE_DIR'] ?? 'data'), 'search', 'words.jsonl')) {
    super(path);
  }
}

@SystemModule(search, { needs: [SearchIndex, BUS] })
export class Search {
  constructor(
    private readonly index: SearchIndex,
    private readonly bus: Bus,
  ) {}

  async open(): Promise<void> {
    await this.bus.listen(photos.added, { as: 'index' }, ({ id, name, tags, addedAt }) =>
      this.index.add({ id, addedAtMs: addedAt.getTime(), words: wordsOf([name, ...tags].join(' ')) }),
    );
  }

  find = handler(search.find, async ({ text, limit }) => ({ ids: await this.index.find(text, limit) }));
}

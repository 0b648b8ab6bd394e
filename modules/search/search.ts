/** Finds photos by the words of their names and tags. Receives each photo once through a named listener. */
import { join, resolve } from 'node:path';
import { handler, type Body } from 'busbar';
import { Listen, SystemModule } from 'busbar/host';
import { photos } from '../photos/contract';
import { search } from './contract';
import { Words, wordsOf } from './words';

export class SearchIndex extends Words {
  constructor(path = join(resolve(process.env['SITE_DIR'] ?? 'data'), 'search', 'words.jsonl')) {
    super(path);
  }
}

@SystemModule(search, { needs: [SearchIndex] })
export class Search {
  constructor(private readonly index: SearchIndex) {}

  @Listen(photos.added, { as: 'index' })
  async added({ id, name, tags, addedAt }: Body<typeof photos.added>): Promise<void> {
    await this.index.add({ id, addedAtMs: addedAt.getTime(), words: wordsOf([name, ...tags].join(' ')) });
  }

  find = handler(search.find, async ({ text, limit }) => ({ ids: await this.index.find(text, limit) }));
}

import { shopCommand, type Shop } from '../support/command';
import { changeStory } from './change-story';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

const k = shopCommand();
let seller: Shop;

beforeAll(async () => {
  seller = await k.shop();
});
afterAll(() => k.close());

changeStory(() => ({ k, seller }));

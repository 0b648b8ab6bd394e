import { shopCommand } from '../support/command';
import { causesStory } from './causes-story';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

const k = shopCommand();
beforeAll(async () => void (await k.shop({}, 'causes.ts')));
afterAll(() => k.close());

causesStory(() => ({ k }));

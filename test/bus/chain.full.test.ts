import { chains } from './chain';

jest.setTimeout(240_000);

describe('a chain of three modules between processes of one machine', () => {
  chains(() => ({}));
});

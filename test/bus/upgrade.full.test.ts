import { upgrades } from './upgrade';

jest.setTimeout(240_000);

describe('a rolling upgrade between processes of one machine', () => {
  upgrades(() => ({}));
});

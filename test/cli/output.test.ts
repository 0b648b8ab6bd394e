import { Output, type Form } from '../../src/cli/output';

interface Row {
  readonly name: string;
  readonly waiting: number;
  readonly oldest: string;
}
const all: readonly Row[] = [
  { name: 'a.work', waiting: 9, oldest: '2h10m' },
  { name: 'b.work', waiting: 12_904, oldest: '48s' },
  { name: 'c.work', waiting: 0, oldest: '–' },
];
const columns = [
  { name: 'QUEUE', show: ({ name }: Row) => name },
  { name: 'WAITING', show: ({ waiting }: Row) => String(waiting) },
  { name: 'OLDEST', show: ({ oldest }: Row) => oldest },
];

async function printed(form: Form, options: { columns?: string[]; sort?: string } = {}): Promise<string> {
  let text = '';
  const write = (more: string): void => void (text += more);
  const out = new Output({
    form,
    isLive: false,
    width: 20,
    bytes: 'counted',
    write,
    caughtUp: () => undefined,
    warn: () => undefined,
    ...options,
  });
  await out.list({ columns }, all);
  return text;
}

test('--columns prints only these columns, in this order', async () => {
  expect(await printed('lines', { columns: ['oldest', 'QUEUE'] })).toBe(
    'OLDEST\tQUEUE\n2h10m\ta.work\n48s\tb.work\n–\tc.work\n',
  );
  await expect(printed('lines', { columns: ['SIZE'] })).rejects.toThrow(
    '--columns SIZE is not a column of this list; it has QUEUE, WAITING, OLDEST',
  );
});

test('--sort sorts numbers and ages by their value, largest first, and names by alphabet', async () => {
  const order = async (sort: string) => (await printed('names', { sort })).trimEnd().split('\n');
  expect(await order('WAITING')).toEqual(['b.work', 'a.work', 'c.work']);
  expect(await order('oldest')).toEqual(['a.work', 'b.work', 'c.work']);
  expect(await order('QUEUE')).toEqual(['a.work', 'b.work', 'c.work']);
  const json = JSON.parse(await printed('json', { sort: 'WAITING' })) as Row[];
  expect(json.map(({ name }) => name)).toEqual(['b.work', 'a.work', 'c.work']);
  await expect(printed('table', { sort: 'SIZE' })).rejects.toThrow('--sort SIZE is not a column of this list');
});

test('-o names prints the name of each result, and -o wide a table of any width', async () => {
  expect(await printed('names')).toBe('a.work\nb.work\nc.work\n');
  expect((await printed('wide')).split('\n')[0]).toBe('QUEUE   WAITING  OLDEST');
  expect((await printed('table')).split('\n')[0]).toBe('QUEUE    a.work');
});

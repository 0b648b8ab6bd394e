/** The command when messages wait and no instance handles them: the instances were killed, or none knows the entry. */
import { shopCommand, rows } from '../support/command';

jest.setTimeout(240_000);

test('jobs of a module are a critical alarm when all its instances are killed', async () => {
  const k = shopCommand();
  const shop = await k.shop();
  await shop.pack([{ key: 'a', do: 'hang' }]);
  await k.eventually(['queues', 'shop.work'], ({ out }) => rows(out)[0]?.['RUNNING'] === '1');
  const gone = new Promise((resolve) => shop.child.once('exit', resolve));
  shop.child.kill('SIGKILL');
  await gone;
  const { code, out } = await k.run([]);
  const [queue] = rows((await k.run(['queues', 'shop.work'])).out);
  await k.close();
  expect(rows(out)).toMatchObject([
    { SEVERITY: 'critical', ABOUT: 'shop.work', MESSAGE: '1 wait, and no instance of shop handles them' },
  ]);
  expect(code).toBe(2);
  expect(queue).toMatchObject({ STATE: 'no instance', INSTANCES: '0' });
});

test('a job with an unknown entry is a critical alarm, which peek and show explain', async () => {
  const k = shopCommand();
  await k.shop();
  const sent = await k.run(['submit', 'shop.pakc', '{"key":"a"}', '--unchecked', '--key', 'a']);
  const { id } = JSON.parse(sent.out) as { id: string };
  const { code, out } = await k.eventually([], (ended) => ended.code !== 0);
  const peeked = await k.run(['peek', 'shop.work', '--entry', 'shop.pakc']);
  const shown = await k.run(['show', id]);
  await k.close();
  expect(rows(out)).toMatchObject([
    {
      SEVERITY: 'critical',
      ABOUT: 'shop.work',
      WHAT: 'unserved',
      MESSAGE: '1 of shop.pakc waits, known to none of 1 instance',
      NEXT: 'busbar peek shop.work --entry shop.pakc',
    },
  ]);
  expect(code).toBe(2);
  expect(rows(peeked.out)).toMatchObject([{ ID: id, IT: 'waits: no instance knows its entry' }]);
  expect(shown.out.replace(/\s+/g, ' ')).toContain('waits: no instance that consumes the queue knows its entry');
});

/** The command where everybody who served a queue was killed, and their shares of it are written down still. */
import { kit, rows } from './kit';

jest.setTimeout(240_000);

test('jobs for a module whose instances were all killed are a critical alarm at once', async () => {
  const k = kit();
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
    { SEVERITY: 'critical', ABOUT: 'shop.work', SAYS: '1 wait, and no instance of shop takes them' },
  ]);
  expect(code).toBe(2);
  expect(queue).toMatchObject({ STATE: 'nobody there', INSTANCES: '0' });
});

import { join } from 'node:path';
import { openToLook } from '../../src/open';
import { jsonLines, shopCommand, rows } from '../support/command';

jest.setTimeout(240_000); // each command is a process, and machines can be busy

const { dir, run, start, shop, eventually, close } = shopCommand();

beforeAll(async () => {
  await shop();
});
afterAll(close);

test('request prints the reply for a body from an argument or from stdin', async () => {
  expect(await run(['request', 'shop.price', '{"item":"pear"}'])).toMatchObject({
    code: 0,
    out: '{"cents":400}\n',
    err: '',
  });
  expect(await run(['request', 'shop.price', '-'], { stdin: '{ "item": "fig" }\n' })).toMatchObject({
    out: '{"cents":300}\n',
  });
});

test('a body that the schema rejects is not sent, and each fault is named', async () => {
  const { code, out, err } = await run(['request', 'shop.price', '{"item":7}']);
  expect({ code, out }).toEqual({ code: 64, out: '' });
  expect(err).toMatch(/nothing was sent, shop\.price does not take this body:\n {2}item: .*expected string/);
  const submitted = await run(['submit', 'shop.pack', '{"key":"a","do":"nothing"}']);
  expect(submitted.code).toBe(64);
  expect((await run(['request', 'shop.price', '{item}'])).err).toContain('the body is not JSON');
});

test('request without a body sends undefined', async () => {
  expect(await run(['request', 'shop.stats'])).toMatchObject({ code: 0, out: '"open"\n', err: '' });
  const all = await run(['request', 'shop.stats', '--all']);
  expect(rows(all.out)).toMatchObject([{ STATE: 'answered', ANSWER: '"open"' }]);
});

test('submit --unchecked uses the own queue of the entry', async () => {
  const sent = await run(['submit', 'shop.bill', '{"amount": 1}', '--unchecked', '-o', 'jsonl']);
  expect(sent.code).toBe(0);
  const [{ id = '' } = {}] = jsonLines(sent.out);
  const shown = await eventually(['show', String(id), '-o', 'table'], ({ out }) => out.includes('settled'));
  expect(shown.out).toContain('main.shop.work.bills/');
});

test('completion prints the verbs and options for a shell, and rejects other shells', async () => {
  const { spawnSync } = await import('node:child_process');
  const bash = await run(['completion', 'bash']);
  expect(bash.code).toBe(0);
  const typed = 'COMP_WORDS=(busbar skip --re) COMP_CWORD=2; _busbar; echo "${COMPREPLY[@]}"';
  expect(spawnSync('bash', ['-c', `${bash.out}\n${typed}`], { encoding: 'utf8' }).stdout).toBe('--reason\n');
  const verb = 'COMP_WORDS=(busbar ru) COMP_CWORD=1; _busbar; echo "${COMPREPLY[@]}"';
  expect(spawnSync('bash', ['-c', `${bash.out}\n${verb}`], { encoding: 'utf8' }).stdout).toBe('running\n');
  expect((await run(['completion', 'zsh'])).out).toContain('compdef _busbar busbar');
  expect((await run(['completion', 'fish'])).out).toContain("-n '__fish_seen_subcommand_from skip' -l dry-run");
  expect(await run(['completion', 'csh'])).toMatchObject({
    code: 64,
    err: 'busbar: csh is not one of bash, zsh, fish\n',
  });
});

test('a verb of another kind and an unknown entry are rejected', async () => {
  const kinds = await run(['submit', 'shop.price', '{}']);
  expect(kinds).toMatchObject({ code: 64 });
  expect(kinds.err).toContain('shop.price is of the kind request: use busbar request, not busbar submit');
  const near = await run(['request', 'shop.prices', '{}']);
  expect(near).toMatchObject({ code: 64 });
  expect(near.err).toContain('there is no entry shop.prices; the nearest are shop.price');
  expect(await run(['request', 'price', '{}'])).toMatchObject({ code: 64 });
  const away = await run(['request', 'shp.price', '{}']);
  expect(away.code).toBe(69);
  expect(away.err).toContain('no instance of shp is running to check the body; running are shop');
});

test('a declared failure is printed with its data and exits with 3', async () => {
  const { code, out, err } = await run(['request', 'shop.price', '{"item":"nothing"}']);
  expect({ code, out }).toEqual({ code: 3, out: '' });
  expect(err).toBe('shop.price failed: SoldOut {"item":"nothing","until":"1970-01-01T00:00:00.000Z"}\n');
});

test('a request exits with 75 on time-out, 69 without the instance, and 130 when interrupted', async () => {
  expect(await run(['request', 'shop.price', '{"item":""}', '--to', 'shop#none'])).toMatchObject({ code: 69 });
  const going = start(['request', 'shop.slow', '{}']);
  await eventually(['instances', 'shop'], ({ out }) => rows(out)[0]?.['REQUESTS'] === '1');
  going.child.kill('SIGINT');
  expect(await going.ended).toMatchObject({ code: 130, out: '' });
  expect(await run(['request', 'shop.slow', '{}', '--timeout', '200ms'])).toMatchObject({ code: 75, out: '' });
});

test('request --all prints the answers of all instances', async () => {
  const { code, out } = await run(['request', 'shop.price', '{"item":"pear"}', '--all']);
  expect(code).toBe(0);
  expect(rows(out)).toMatchObject([{ STATE: 'answered', ANSWER: '{"cents":400}' }]);
  expect((await run(['request', 'shop.price', '{"item":"nothing"}', '--all'])).code).toBe(3);
});

test('submit uses the queue and key of the contract, and keeps integers exact', async () => {
  const json = '{"key":"z","do":"hang","big":12345678901234567890}';
  const { code, out } = await run(['submit', 'shop.pack', json]);
  expect(code).toBe(0);
  const [sent] = jsonLines(out);
  const found = await run(['show', String(sent?.['id']), '-o', 'jsonl']);
  expect(found.out).toContain('"big":12345678901234567890');
  expect(jsonLines(found.out)).toMatchObject([{ message: { key: 'z', topic: 'main.shop.work' } }]);
  const bill = await run(['submit', 'shop.bill', '{"amount":3}']);
  const [billed] = jsonLines(bill.out);
  const there = await run(['show', String(billed?.['id']), '-o', 'jsonl']);
  expect(jsonLines(there.out)).toMatchObject([{ message: { topic: 'main.shop.work.bills' } }]);
});

test('broadcasts and events reach their handlers', async () => {
  expect(await run(['broadcast', 'shop.closing', '{"minutes":5}'])).toMatchObject({ code: 0 });
  expect(await run(['publish', 'shop.sold', '{"item":"pear"}'])).toMatchObject({ code: 0 });
  expect(await run(['publish', 'shop.sold', '{"item":"fig"}', '--unchecked', '--key', 'fig'])).toMatchObject({
    code: 0,
  });
  await eventually(['request', 'shop.price', '{"item":"heard"}'], ({ out }) => out === '{"cents":3}\n');
  const looking = await openToLook({ module: 'look', ns: 'main', dir: join(dir, 'bus') });
  const topics = await looking.ports.log.topics();
  await looking.bus.close();
  // the command, which does not know the contract, leaves the retention as the shop created it
  expect(topics.find(({ name }) => name === 'main.shop.events')).toMatchObject({ keepMs: 7_200_000 });
});

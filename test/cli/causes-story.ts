/** Tests of `status`, `queues` and `instances` about a system with problems, for both transports. */
import { rows, type CommandResult, type ShopCommand } from '../support/command';

interface Alarm {
  readonly severity: string;
  readonly about: string;
  readonly what: string;
  readonly message: string;
  readonly next: string;
}
const alarmsIn = ({ out }: CommandResult): readonly Alarm[] => {
  const status: unknown = out === '' ? undefined : JSON.parse(out);
  // The command prints the type that it declares.
  return (status as { readonly alarms: readonly Alarm[] } | undefined)?.alarms ?? [];
};

/** Declares the tests. Each needs the system of causes.ts. */
export function causesStory(scene: () => { readonly k: ShopCommand }): void {
  test('status names the cause of each problem', async () => {
    const { k } = scene();
    const wanted = [
      'no instance bank',
      'timing out store.read',
      'growing mail.work',
      'drift billing',
      'parked billing.work',
    ];
    const found = (ended: CommandResult): readonly string[] =>
      alarmsIn(ended).map(({ what, about }) => `${what} ${about}`);
    const ended = await k.eventually(['status', '--json'], (one) => wanted.every((kind) => found(one).includes(kind)));
    expect(ended.code).toBe(2);
    const about = (what: string): Alarm | undefined => alarmsIn(ended).find((one) => one.what === what);
    expect(about('no instance')?.message).toMatch(
      /^no instance of bank is running: \d+ requests of bank\.settle by shop#\w+ failed within a minute$/,
    );
    expect(about('timing out')).toMatchObject({ severity: 'critical', next: 'busbar running store.read' });
    expect(about('timing out')?.message).toMatch(
      /^(\d+) of \1 requests by shop#\w+ failed within a minute \(\1 Timeout\)/,
    );
    expect(about('growing')).toMatchObject({ severity: 'warning', next: 'busbar queues mail.work --by key' });
    expect(about('growing')?.message).toMatch(
      /^(?:about )?\d+ wait: 4 of 4 handlers busy, p50 3(?:\.\d)? s, \d\d\/s in, \d(?:\.\d)?\/s out$/,
    );
    expect(about('drift')?.message).toMatch(
      /^shop#\w+ \(1\.0\.0\) calls billing\.charge with contract \w{8}, billing#\w+ \(1\.0\.0\) has \w{8}; billing\.charge input amount: string, now number$/,
    );
    expect(about('parked')?.message).toMatch(
      /^1 message is parked: 1 of billing\.charge: input of billing\.charge: amount: /,
    );
  });

  test('queues has rates and limits, and instances the times of handlers', async () => {
    const { k } = scene();
    const [queue] = rows((await k.run(['queues', 'mail.work'])).out);
    expect(queue).toMatchObject({ STATE: 'growing', RUNNING: '4', 'EMPTY IN': 'never' });
    expect(Number(queue?.['IN/s'])).toBeGreaterThan(15);
    expect(Number(queue?.['OUT/s'])).toBeLessThan(3);
    const byKey = rows((await k.run(['queues', 'mail.send', '--by', 'key'])).out);
    expect(new Set(byKey.map(({ KEY }) => KEY)).size).toBe(byKey.length);
    expect(byKey.filter(({ RUNNING }) => RUNNING === '1')).toHaveLength(4);
    const [mail] = rows((await k.run(['instances', 'mail'])).out);
    expect(mail?.['p50']).toMatch(/^3(?:\.\d)? s$/);
  });
}

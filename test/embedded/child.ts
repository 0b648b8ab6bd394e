/** A process of a test: opens a bus in a directory, plays a role, and is controlled by messages of its parent. */
import { systemClock, systemRandom } from '../../src/base/clock';
import { isBusError, sayError } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { type Embedded, openEmbedded } from '../../src/embedded/open';
import { instance } from './instance';

const [role = '', dir = '', ...args] = process.argv.slice(2);
const say = (message: unknown): void => void process.send?.(message);
process.on('disconnect', () => process.exit());

const roles: Readonly<Record<string, (bus: Embedded) => Promise<void>>> = {
  /** Announces itself and sends every packet back. */
  async echo({ post, registry }) {
    post.receive({ packet: (packet, from) => post.send(from, packet), gone: () => undefined });
    await registry.announce(instance(post.address, 'echo', args[0] === undefined ? {} : { name: args[0] }));
    say(post.address);
  },
  /** Sends each list of instances of a contract that its watcher gets, and the time. */
  async watch({ post, registry }) {
    post.receive({ packet: () => undefined, gone: () => undefined });
    await registry.watch(args[0] ?? 'echo', (seen) => say({ names: seen.map(({ name }) => name), atMs: Date.now() }));
  },
  /**
   * Counts received packets and bytes, and checks that their lines are ascending numbers; sends the counts on request.
   * Announces itself as an instance of a module if one is named.
   */
  async count({ post, registry }) {
    let bytes = 0;
    let packets = 0;
    let lastLine = -2;
    let inOrder = true;
    post.receive({
      packet({ line, body }) {
        bytes += body.length;
        packets++;
        inOrder &&= Number(line) > lastLine;
        lastLine = Number(line);
      },
      gone: () => undefined,
    });
    process.on('message', () => say({ bytes, packets, inOrder }));
    if (args[0] !== undefined) await registry.announce(instance(post.address, args[0]));
    say(post.address);
  },
  /** Broadcasts to a module, awaiting each, and kills itself as soon as the last one has resolved. */
  async shout({ post }) {
    const [module = '', count = '0', bytes = '0'] = args;
    const body = Buffer.alloc(Number(bytes), 1);
    for (let n = 0; n < Number(count); n++) await post.broadcast(module, { line: `${n}`, body });
    process.kill(process.pid, 'SIGKILL');
  },
  /** Sends packets back; answers 'go' with 20 other packets and closes. */
  async farewell(bus) {
    const { post } = bus;
    post.receive({
      packet(packet, from) {
        if (packet.line !== 'go') return post.send(from, packet);
        for (let at = 0; at < 20; at++) post.send(from, { line: `${at}`, body: Buffer.alloc(5_000) });
        void bus.close();
      },
      gone: () => undefined,
    });
    say(post.address);
  },
  /** Sends every list of settings that its watcher gets, and writes settings on request. */
  async settings({ settings }) {
    process.on('message', (message: string) => {
      const [key = '', value = '', was = '0'] = message.split(' ');
      settings.set(key, value, Number(was)).then(
        (version) => say({ version }),
        (error: unknown) => say(isBusError(error) ? { code: error.code, details: error.details } : sayError(error)),
      );
    });
    await settings.watch((seen) => say({ seen: seen.map(({ key, value }) => `${key}=${value}`), atMs: Date.now() }));
  },
};

async function main(): Promise<void> {
  const play = roles[role];
  if (play === undefined) throw new Error(`no role ${role}`);
  const notices = openNotices();
  const options = {
    dir,
    ns: 'test',
    name: `${role}#${process.pid}`,
    clock: systemClock,
    random: systemRandom,
    notices,
  };
  await play(await openEmbedded(options));
}
main().catch((error: unknown) => {
  say({ error: sayError(error) });
  process.exitCode = 1;
});

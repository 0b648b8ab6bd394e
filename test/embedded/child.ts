/** A process of a test: opens a bus in a directory, plays a role, and is controlled by messages of its parent. */
import { systemClock, systemRandom } from '../../src/base/clock';
import { isBusError, errorMessage } from '../../src/base/errors';
import { openNotices } from '../../src/base/notices';
import { type Embedded, openEmbedded } from '../../src/embedded/open';
import { instance } from './instance';

const [role = '', dir = '', ...args] = process.argv.slice(2);
const say = (message: unknown): void => void process.send?.(message);
process.on('disconnect', () => process.exit());

const roles: Readonly<Record<string, (bus: Embedded) => Promise<void>>> = {
  /** Announces itself and sends every packet back. */
  async echo({ messenger, registry }) {
    messenger.receive({ packet: (packet, from) => messenger.send(from, packet), left: () => undefined });
    await registry.announce(instance(messenger.address, 'echo', args[0] === undefined ? {} : { name: args[0] }));
    say(messenger.address);
  },
  /** Sends each list of instances of a contract that its watcher gets, and the time. */
  async watch({ messenger, registry }) {
    messenger.receive({ packet: () => undefined, left: () => undefined });
    await registry.watch(args[0] ?? 'echo', (seen) => say({ names: seen.map(({ name }) => name), atMs: Date.now() }));
  },
  /**
   * Counts received packets and bytes, and checks that their lines are ascending numbers; sends the counts on request.
   * Announces itself as an instance of a module if one is named.
   */
  async count({ messenger, registry }) {
    let bytes = 0;
    let packets = 0;
    let lastLine = -2;
    let inOrder = true;
    messenger.receive({
      packet({ line, body }) {
        bytes += body.length;
        packets++;
        inOrder &&= Number(line) > lastLine;
        lastLine = Number(line);
      },
      left: () => undefined,
    });
    process.on('message', () => say({ bytes, packets, inOrder }));
    if (args[0] !== undefined) await registry.announce(instance(messenger.address, args[0]));
    say(messenger.address);
  },
  /** Broadcasts to a module, awaiting each, and kills itself as soon as the last one has resolved. */
  async shout({ messenger }) {
    const [module = '', count = '0', bytes = '0'] = args;
    const body = Buffer.alloc(Number(bytes), 1);
    for (let n = 0; n < Number(count); n++) await messenger.broadcast(module, { line: `${n}`, body });
    process.kill(process.pid, 'SIGKILL');
  },
  /** Sends packets back; answers 'go' with 20 other packets and closes. */
  async farewell(bus) {
    const { messenger } = bus;
    messenger.receive({
      packet(packet, from) {
        if (packet.line !== 'go') return messenger.send(from, packet);
        for (let at = 0; at < 20; at++) messenger.send(from, { line: `${at}`, body: Buffer.alloc(5_000) });
        void bus.close();
      },
      left: () => undefined,
    });
    say(messenger.address);
  },
  /** Sends every list of settings that its watcher gets, and writes settings on request. */
  async settings({ settings }) {
    process.on('message', (message: string) => {
      const [key = '', value = '', was = '0'] = message.split(' ');
      settings.set(key, value, Number(was)).then(
        (version) => say({ version }),
        (error: unknown) => say(isBusError(error) ? { code: error.code, details: error.details } : errorMessage(error)),
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
  say({ error: errorMessage(error) });
  process.exitCode = 1;
});

/** Hostile processes of the same user can lose their own connection to a socket of a bus, and do no other harm. */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { type Clock, systemClock } from '../../src/base/clock';
import type { Notice } from '../../src/base/notices';
import { frameKinds, frameRoom, type FrameKind, putFrame } from '../../src/embedded/sockets/frames';
import type { Embedded } from '../../src/embedded/open';
import { cleanUp, freshDirectory, keptNotices, later, openBus, until } from '../support/embedded-buses';

afterEach(cleanUp);

/** A bus that is attacked, a friendly one, and the packets that both received. */
async function scene(clock = systemClock) {
  const dir = freshDirectory();
  const { notices, kept } = keptNotices();
  const [target, friend] = [await openBus(dir, 'web#1', notices, clock), await openBus(dir, 'web#2')];
  const heard: string[] = [];
  let floods = 0;
  const pings = new Set<string>();
  target.messenger.receive({
    packet({ line }, from) {
      if (line.startsWith('ping')) pings.add(line);
      else if (line === 'flood') floods++;
      else heard.push(`${line} ${from}`);
    },
    left: () => undefined,
  });
  /** Checks that the friend still reaches the bus over its earlier connection. */
  const unharmed = async (): Promise<boolean> => {
    const line = `ping ${pings.size}`;
    friend.messenger.send(target.messenger.address, { line, body: Buffer.alloc(0) });
    return until(() => pings.has(line) && gone.length === 0);
  };
  const gone: string[] = [];
  friend.messenger.receive({ packet: () => undefined, left: (from) => gone.push(from) });
  expect(await unharmed()).toBe(true);
  return { dir, target, heard, kept, unharmed, floods: () => floods };
}

/** Opens a raw connection to a bus. */
function connect(dir: string, bus: Embedded): { socket: net.Socket; closed: () => boolean } {
  const socket = net.connect(path.join(dir, 's', bus.messenger.address));
  let closed = false;
  socket.on('error', () => undefined);
  socket.on('data', () => undefined);
  socket.on('close', () => (closed = true));
  later(() => void socket.destroy());
  return { socket, closed: () => closed };
}

function frame(kind: FrameKind, line: string, body = ''): Buffer {
  const into = Buffer.alloc(frameRoom(line, Buffer.from(body)));
  return into.subarray(0, putFrame(into, 0, kind, line, Buffer.from(body)));
}
const stranger = '1-1-00000000-00000000';
const hello = (address = stranger, ns = 'test'): Buffer => frame(frameKinds.hello, `busbar/1 ${ns} ${address}`);
const faults = (kept: readonly Notice[]): string[] =>
  kept.flatMap((notice) => (notice.type === 'dropped' && notice.what === 'connection' ? [notice.reason] : []));

const lengthOf = (value: number): Buffer => {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32LE(value, 0);
  return bytes;
};

test.each([
  ['a length of 0', lengthOf(0), 'a frame of 0 bytes'],
  ['a length of 1', lengthOf(1), 'a frame of 1 bytes'],
  ['a length of 0x7fffffff', lengthOf(0x7fffffff), 'a frame of 2147483647 bytes'],
  ['a length of 0xffffffff', lengthOf(0xffffffff), 'a frame of 4294967295 bytes'],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n'), 'a frame of 542393671 bytes'],
  ['a packet without a hello', frame(frameKinds.packet, 'x'), 'no hello'],
  ['a hello of another version', frame(frameKinds.hello, `busbar/9 test ${stranger}`), 'a hello of another version'],
  ['a hello of another namespace', hello(stranger, 'prod'), 'a hello of another namespace'],
  ['a hello without an address', hello('../../x'), 'a hello with an invalid address'],
  ['a hello with more in it', hello(`${stranger} more`), 'no hello'],
  ['an empty hello', frame(frameKinds.hello, ''), 'no hello'],
])('%s instead of a hello is reported, and closes only that connection', async (_name, bytes, reason) => {
  const { dir, target, kept, heard, unharmed } = await scene();
  const { socket, closed } = connect(dir, target);
  socket.write(bytes);
  await until(closed);
  await until(() => faults(kept).length === 1);
  expect(faults(kept)).toEqual([`${reason}, from an unknown process`]);
  expect(await unharmed()).toBe(true);
  expect(heard).toEqual([]);
});

test('a hello with the own address of the bus closes that connection', async () => {
  const { dir, target, kept, unharmed } = await scene();
  const { socket, closed } = connect(dir, target);
  socket.write(hello(target.messenger.address));
  await until(closed);
  expect(faults(kept)).toEqual(['a hello with the address of this instance, from an unknown process']);
  expect(await unharmed()).toBe(true);
});

test('a second hello or bad bytes close the connection, and are reported with its address', async () => {
  const { dir, target, kept, unharmed } = await scene();
  for (const [bytes, reason] of [
    [hello(), 'a second hello'],
    [lengthOf(0xffffffff), 'a frame of 4294967295 bytes'],
    [frame(frameKinds.packet, 'x'.repeat(9_000)), 'a line of 9000 bytes'],
  ] as const) {
    const { socket, closed } = connect(dir, target);
    socket.write(Buffer.concat([hello(), frame(frameKinds.packet, 'fine'), bytes]));
    await until(closed);
    await until(() => faults(kept).includes(`${reason}, from ${stranger}`));
  }
  expect(await unharmed()).toBe(true);
});

test('a packet after bad bytes is not delivered', async () => {
  const { dir, target, heard } = await scene();
  const { socket, closed } = connect(dir, target);
  socket.write(
    Buffer.concat([hello(), frame(frameKinds.packet, 'good'), lengthOf(1), frame(frameKinds.packet, 'bad')]),
  );
  await until(closed);
  expect(heard).toEqual([`good ${stranger}`]);
});

test('a hello sent byte by byte is accepted unless it takes longer than 10 s', async () => {
  let deaf = true; // blocks the timers at first, because this process can stall for longer than 10 s
  const clock: Clock = { ...systemClock, after: (ms, run) => systemClock.after(ms, () => deaf || run()) };
  const { dir, target, kept, heard, unharmed } = await scene(clock);
  const patient = connect(dir, target);
  for (const byte of Buffer.concat([hello(), frame(frameKinds.packet, 'slow but whole')])) {
    await new Promise<void>((written) => patient.socket.write(Buffer.from([byte]), () => written()));
  }
  await until(() => heard.includes(`slow but whole ${stranger}`));
  deaf = false;
  const silent = connect(dir, target);
  const half = connect(dir, target);
  half.socket.write(hello().subarray(0, 10));
  const start = performance.now();
  await until(() => silent.closed() && half.closed());
  expect(performance.now() - start).toBeGreaterThan(9_900);
  expect(faults(kept)).toEqual(Array(2).fill('no hello within 10000 ms, from an unknown process'));
  expect(patient.closed()).toBe(false);
  expect(await unharmed()).toBe(true);
});

test('a frame that never ends does not affect other connections', async () => {
  const { dir, target, unharmed } = await scene();
  const { socket } = connect(dir, target);
  socket.write(Buffer.concat([hello(), frame(frameKinds.packet, 'x', 'y'.repeat(1_000_000)).subarray(0, 900_000)]));
  expect(await unharmed()).toBe(true);
  socket.destroy();
  expect(await unharmed()).toBe(true);
});

test('a peer that closes incoming connections but keeps its own is reported as gone', async () => {
  const { dir, target } = await scene();
  const gone: string[] = [];
  target.messenger.receive({ packet: () => undefined, left: (from) => gone.push(from) });
  const server = net.createServer((socket) => setTimeout(() => socket.destroy(), 20));
  await new Promise<void>((listening) => server.listen(path.join(dir, 's', stranger), listening));
  later(() => void server.close());
  target.messenger.send(stranger, { line: 'hello', body: Buffer.alloc(0) });
  const { socket, closed } = connect(dir, target);
  socket.write(hello());
  await until(() => gone.includes(stranger));
  expect(closed()).toBe(true);
});

test('a thousand connections without a hello do not block another bus', async () => {
  const { dir, target, kept, unharmed } = await scene();
  const flood = Array.from({ length: 1_000 }, () => connect(dir, target));
  await until(() => flood.filter(({ closed }) => closed()).length >= 700);
  const newcomer = await openBus(dir, 'web#3');
  newcomer.messenger.receive({ packet: () => undefined, left: () => undefined });
  newcomer.messenger.send(target.messenger.address, { line: 'new', body: Buffer.alloc(0) });
  expect(await unharmed()).toBe(true);
  expect(faults(kept)).toContain('more than 256 connections without a hello, from an unknown process');
});

test('a flood of packets from one sender does not block another one', async () => {
  const { dir, target, unharmed, floods } = await scene();
  const { socket } = connect(dir, target);
  socket.write(hello());
  const chunk = Buffer.concat(Array.from({ length: 2_000 }, () => frame(frameKinds.packet, 'flood', 'x'.repeat(100))));
  let on = true;
  const flood = (): void => {
    while (on && socket.write(chunk));
    if (on) socket.once('drain', flood);
  };
  flood();
  for (let round = 0; round < 5; round++) {
    const before = floods();
    expect(await unharmed()).toBe(true);
    expect(floods() - before).toBeLessThan(10_000); // 2,000 are what the flood writes at once
  }
  on = false;
});

// Only root can become another user.
const withTwoUsers = process.getuid?.() === 0 ? describe : describe.skip;
withTwoUsers('with a second user (needs root)', () => {
  test('another user cannot connect', async () => {
    const { dir, target, unharmed } = await scene();
    const at = path.join(dir, 's', target.messenger.address);
    const connecting = `
    require('node:net').connect(${JSON.stringify(at)})
      .on('connect', () => { console.log('connected'); process.exit(); })
      .on('error', (error) => console.log(error.code));`;
    const asOther = (): string => {
      const options = { uid: 65534, gid: 65534, encoding: 'utf8', cwd: '/' } as const;
      return spawnSync(process.execPath, ['-e', connecting], options).stdout.trim();
    };
    expect(fs.statSync(at).mode & 0o777).toBe(0o600);
    expect(asOther()).toBe('EACCES');
    // Also when the directories were opened to others: the socket itself is accessible to the owner only.
    for (const part of [dir, path.join(dir, 's')]) fs.chmodSync(part, 0o755);
    expect(asOther()).toBe('EACCES');
    fs.chmodSync(at, 0o666);
    expect(asOther()).toBe('connected');
    for (const part of [dir, path.join(dir, 's')]) fs.chmodSync(part, 0o700);
    expect(await unharmed()).toBe(true);
  });
});

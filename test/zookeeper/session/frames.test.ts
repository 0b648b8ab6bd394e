import fc from 'fast-check';
import { openFrames } from '../../../src/zookeeper/session/frames';

function frame(body: Uint8Array): Buffer {
  const head = Buffer.alloc(4);
  head.writeInt32BE(body.length);
  return Buffer.concat([head, body]);
}

test('whole frames are emitted, wherever the bytes are split', () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 });
  fc.assert(
    fc.property(bodies, fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }), (all, cuts) => {
      const [frames, whole] = [openFrames(), Buffer.concat(all.map(frame))];
      const out: Buffer[] = [];
      for (let at = 0, n = 0; at < whole.length; n++) {
        const to = at + (cuts[n % cuts.length] ?? 1);
        out.push(...frames.push(whole.subarray(at, to)));
        at = to;
      }
      expect(out.map((one) => one.toString('hex'))).toEqual(all.map((body) => frame(body).toString('hex')));
    }),
  );
});

test('an invalid frame length is rejected at once', () => {
  for (const length of [-1, 16 * 1024 * 1024 + 1, 0x48545450]) {
    const head = Buffer.alloc(4);
    head.writeInt32BE(length);
    expect(() => openFrames().push(head)).toThrow(/the server is not ZooKeeper/);
  }
});

test('a large frame in small pieces is concatenated once, not once a piece', () => {
  const frames = openFrames();
  const whole = frame(new Uint8Array(8 * 1024 * 1024));
  const concat = jest.spyOn(Buffer, 'concat');
  for (let at = 0; at < whole.length; at += 1_024) frames.push(whole.subarray(at, at + 1_024));
  expect(concat.mock.calls.length).toBeLessThan(5);
  concat.mockRestore();
});

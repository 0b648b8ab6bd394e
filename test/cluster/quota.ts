/** Sets quotas of clients on running brokers, as `kafka-configs.sh --alter --entity-type clients` does. */
import net from 'node:net';

const withinMs = 10_000;

/**
 * Limits the bytes per second that one client id can produce to each broker; null removes the limit. Resolves when the
 * brokers have stored it.
 */
export async function alterProducerQuota(broker: string, clientId: string, byteRate: number | null): Promise<void> {
  const answer = await ask(broker, request(clientId, byteRate));
  const [entries, error] = [answer.readInt32BE(12), answer.readInt16BE(16)]; // after length, correlation and throttle
  if (entries !== 1 || error !== 0) throw new Error(`the quota of ${clientId} was refused with error ${error}`);
}

/** Encodes an AlterClientQuotas request of version 0, which any broker passes on to the controller. */
function request(clientId: string, byteRate: number | null): Buffer {
  const rate = Buffer.alloc(9);
  rate.writeDoubleBE(byteRate ?? 0);
  rate.writeUInt8(byteRate === null ? 1 : 0, 8); // whether the limit is removed
  const body = Buffer.concat([
    int16(49),
    int16(0),
    int32(1), // correlation
    text('quota'), // client id of this request
    int32(1), // entries
    int32(1), // entities
    text('client-id'),
    text(clientId),
    int32(1), // operations
    text('producer_byte_rate'),
    rate,
    Buffer.from([0]), // not only validated
  ]);
  return Buffer.concat([int32(body.length), body]);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}
function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}
function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int16(bytes.length), bytes]);
}

function ask(broker: string, question: Buffer): Promise<Buffer> {
  const [host = '', port] = broker.split(':');
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const socket = net.connect(Number(port), host, () => socket.write(question));
    const timer = setTimeout(() => socket.destroy(new Error(`${broker} did not respond in ${withinMs} ms`)), withinMs);
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk]);
      if (answer.length < 4 || answer.length < 4 + answer.readInt32BE(0)) return;
      resolve(answer);
      socket.destroy();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      clearTimeout(timer);
      reject(new Error(`${broker} closed the connection`)); // ignored after the answer
    });
  });
}

/** Finds unused ports. */
import { createServer } from 'node:net';

const portsTried = 100;

/** Returns the first free ports from `from` on; 0 means any. Rejects after a hundred tries. */
export async function freePorts(count: number, from: number): Promise<number[]> {
  const free: number[] = [];
  for (let tried = 0; tried < portsTried && free.length < count; tried++) {
    const port = await tryPort(from === 0 ? 0 : from + tried);
    if (port !== undefined && !free.includes(port)) free.push(port);
  }
  if (free.length < count) throw new Error(`no ${count} free ports from ${from} to ${from + portsTried}; set PORT`);
  return free;
}

function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : undefined));
    });
  });
}

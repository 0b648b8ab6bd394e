/** Finds ports that nobody uses. */
import { createServer } from 'node:net';

const portsTried = 100;

/** The first free ones from `from` on; from 0, any. Rejects when a hundred have been tried. */
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

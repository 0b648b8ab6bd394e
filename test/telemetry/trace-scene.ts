/** Runs the two processes of trace-child.ts, and returns the spans of both. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { BusGiven } from '../../src/options';
import type { Exported } from './trace-child';

/** Returns the spans of an upload, the outermost one first. Each is the parent of the next one. */
export async function chainOfUpload(options: BusGiven): Promise<readonly Exported[]> {
  const children: ChildProcess[] = [];
  async function start(role: string): Promise<ChildProcess> {
    const child = fork(join(__dirname, 'trace-child.ts'), [role, JSON.stringify(options)], {
      execArgv: ['-r', join(__dirname, '..', 'register.cjs')],
    });
    children.push(child);
    await once(child, 'message'); // it is ready
    return child;
  }
  async function end(child: ChildProcess): Promise<readonly Exported[]> {
    const ended = once(child, 'message');
    child.send('go');
    const [spans] = (await ended) as [readonly Exported[]]; // see trace-child.ts
    return spans;
  }
  try {
    const photos = await start('photos');
    const web = await start('web');
    const ofWeb = await end(web); // it ends after the event has arrived
    return chainOf([...ofWeb, ...(await end(photos))]);
  } finally {
    for (const child of children) child.kill('SIGKILL');
  }
}

function chainOf(spans: readonly Exported[]): readonly Exported[] {
  const chain: Exported[] = [];
  const next = (parentId: string | undefined): Exported | undefined => spans.find((one) => one.parentId === parentId);
  for (let span = next(undefined); span; span = next(span.spanId)) chain.push(span);
  return chain;
}

/** The spans of an upload, with the process of each. */
export const expectedChain = [
  'web: upload',
  'web: request photos.add',
  'photos: process photos.add',
  'photos: submit photos.resize',
  'photos: process photos.resize',
  'photos: publish photos.resized',
  'web: process photos.resized',
];

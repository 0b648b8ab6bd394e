/** Implements `busbar why`, which prints the biography of a message and the messages around it. */
import type { Biography, TreeNode } from '../../inspect';
import { exits, type Exit } from '../exit';
import type { Desk } from '../run';
import { cutTo, wrap } from '../table';
import { clockTime, none, oneLine, time } from '../words';
import { plainMessage } from './body';

export interface WhyOptions {
  readonly tree?: boolean;
}

export async function why(desk: Desk, id: string, { tree }: WhyOptions): Promise<Exit> {
  const { inspector, out } = desk;
  const story = await inspector.why(id);
  const found = tree ? await inspector.tree(story.id) : undefined;
  // A request is in no log, but an instance knows its entry.
  const root = found?.id === story.id && found.entry === '' ? { ...found, entry: story.entry } : found;
  if (out.form === 'json' || out.form === 'jsonl') out.value({ ...plainStory(story), ...(root && { tree: root }) });
  else report(desk, story, root);
  return isKnown(story) ? exits.done : exits.warning;
}

/** Returns false when neither a log nor an instance knows the message. */
function isKnown({ facts, entry }: Biography): boolean {
  return entry !== '' || facts.found.length > 0 || facts.children.length > 0;
}

/** Returns the fields that are the same in a log and in the memory of an instance only once, and no bodies. */
function plainStory({ facts, ...story }: Biography): object {
  const plain = plainMessage({ bytes: 'counted', shown: false });
  const { instances: _instances, keepMs: _keepMs, found, children, ...rest } = facts;
  const records = found.map(({ message, places }) => ({
    message: plain(message),
    places: places.map(({ parked, ...place }) => ({ ...place, parked: parked && plain(parked) })),
  }));
  return { ...story, facts: { ...rest, found: records, children: children.map(plain) } };
}

function report({ out, nowMs }: Desk, { sentence, steps, next }: Biography, root: TreeNode | undefined): void {
  const columns = out.forPeople ? out.width : Infinity;
  for (const line of wrap(oneLine(sentence), columns)) out.line(line);
  const width = Math.max(0, ...steps.map(({ what }) => what.length));
  const today = time(nowMs()).slice(0, 10);
  for (const { atMs, what, text } of steps) {
    const at = atMs === null ? 'now' : time(atMs).startsWith(today) ? time(atMs).slice(11) : time(atMs);
    const start = `  ${at.padEnd(timeChars)}  ${what.padEnd(width)}  `;
    wrap(oneLine(text), Math.max(20, columns - start.length)).forEach((line, i) =>
      out.line((i === 0 ? start : ' '.repeat(start.length)) + line),
    );
  }
  if (root) for (const line of treeLines(root)) out.line(cutTo(line, columns));
  for (const command of next) out.next(command);
}
const timeChars = '03:05:56.120'.length;

function treeLines(node: TreeNode, indent = '', isLast = true, isRoot = true): readonly string[] {
  const { entry, id, sentMs, state, children, left } = node;
  const branch = isRoot ? '' : isLast ? '└ ' : '├ ';
  const at = sentMs === null ? none : clockTime(sentMs);
  const line = oneLine(`${indent}${branch}${entry || 'a message'}  ${id}  ${at}  ${state}`);
  const inner = isRoot ? '' : `${indent}${isLast ? '  ' : '│ '}`;
  const more = left === 0 ? [] : [`${inner}└ ${left} more`];
  const below = children.flatMap((child, i) => treeLines(child, inner, i === children.length - 1 && left === 0, false));
  return [line, ...below, ...more];
}

/** The pages of the documentation: the Markdown files at the root, in docs/ and in examples/. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(__dirname, '..');

export interface Page {
  /** Path from the root of the repository. */
  readonly file: string;
  readonly text: string;
}

/** Reads one page. */
export const page = (file: string): Page => ({ file, text: readFileSync(join(root, file), 'utf8') });

/** Reads README.md first, then the other Markdown files of the repository in alphabetical order. */
export function pages(): Page[] {
  const others = ['docs', 'examples'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  );
  const files = [...readdirSync(root), ...others].filter((name) => name.endsWith('.md') && name !== 'README.md');
  return ['README.md', ...files.toSorted()].map(page);
}

/** Returns a page without its code blocks, in which nothing is a heading, a link or a table. */
export const withoutCode = (text: string): string => text.replaceAll(/^```[^]*?^```$/gm, '');

/** Returns the anchors that GitHub gives to the headings of a page. */
export function anchors(text: string): Set<string> {
  const headings = [...withoutCode(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => heading);
  const plain = headings.map((heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, ''));
  return new Set(plain.map((heading) => heading.replaceAll(' ', '-')));
}

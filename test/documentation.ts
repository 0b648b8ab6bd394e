/** The pages of the documentation: README.md and every page in docs/. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(__dirname, '..');

export interface Page {
  /** Path from the root of the repository. */
  readonly file: string;
  readonly text: string;
}

/** Reads one page. */
export const page = (file: string): Page => ({ file, text: readFileSync(join(root, file), 'utf8') });

/** Reads README.md first, then docs/ in alphabetical order. */
export function pages(): Page[] {
  const docs = existsSync(join(root, 'docs')) ? readdirSync(join(root, 'docs')).toSorted() : [];
  return ['README.md', ...docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)].map(page);
}

/** Returns a page without its code blocks, in which nothing is a heading, a link or a table. */
export const withoutCode = (text: string): string => text.replaceAll(/^```[^]*?^```$/gm, '');

/** Returns the anchors that GitHub gives to the headings of a page. */
export function anchors(text: string): Set<string> {
  const headings = [...withoutCode(text).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => heading);
  const plain = headings.map((heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_ -]/gu, ''));
  return new Set(plain.map((heading) => heading.replaceAll(' ', '-')));
}

/**
 * Types for the entry of msgpackr that loads no native addon and compiles no code at run time; it ships without any. It
 * is an instance of its own too: extensions that an application adds to `msgpackr` do not reach it.
 */
declare module 'msgpackr/index-no-eval' {
  import type { Options } from 'msgpackr';

  interface Room {
    readonly target: Uint8Array;
    readonly position: number;
  }
  export class Packr {
    constructor(options: Options);
    pack(value: unknown, mode?: number): Uint8Array;
    unpack(bytes: Uint8Array, part?: number | { readonly start: number; readonly end: number }): unknown;
  }
  export function addExtension(extension: {
    readonly Class?: new (...parts: never[]) => object;
    readonly type: number;
    /** Gives the payload, or writes raw bytes into the room it takes. */
    pack?(form: never, take: (bytes: number) => Room): Uint8Array | undefined;
    unpack?(payload: Uint8Array): unknown;
  }): void;
  export const RESET_BUFFER_MODE: number;
}

interface String {
  /** ES2024, in Node from 20.0: no surrogate stands alone. */
  isWellFormed(): boolean;
}

/** Compares types exactly: `any` and wider types are not equal. */

export type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if the comparison holds. */
export function is<T extends true>(_holds?: T): void {}

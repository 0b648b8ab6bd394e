/** Encodes and decodes Kafka's primitive types. Each decoded length is checked against the bytes that are left. */

/** Growing buffer of a request. Numbers out of range and `text` of more than 32,767 bytes throw a RangeError. */
export class Writer {
  #buffer: Buffer;
  #end = 0;

  constructor(bytes = 256) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#end);
  }

  /** Reserves `count` bytes that the caller must write. Returns the buffer and their position. */
  room(count: number): readonly [Buffer, number] {
    const at = this.#end;
    this.#end += count;
    if (this.#end > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(this.#end, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, at);
      this.#buffer = larger;
    }
    return [this.#buffer, at];
  }

  i8(value: number): this {
    const [buffer, at] = this.room(1);
    buffer.writeInt8(value, at);
    return this;
  }
  bool(value: boolean): this {
    return this.i8(value ? 1 : 0);
  }
  i16(value: number): this {
    const [buffer, at] = this.room(2);
    buffer.writeInt16BE(value, at);
    return this;
  }
  i32(value: number): this {
    const [buffer, at] = this.room(4);
    buffer.writeInt32BE(value, at);
    return this;
  }
  i64(value: number): this {
    const [buffer, at] = this.room(8);
    writeI64(buffer, value, at);
    return this;
  }
  text(value: string | null): this {
    if (value === null) return this.i16(-1);
    const length = Buffer.byteLength(value);
    this.i16(length);
    const [buffer, at] = this.room(length);
    buffer.write(value, at);
    return this;
  }
  blob(value: Uint8Array): this {
    this.i32(value.length);
    const [buffer, at] = this.room(value.length);
    buffer.set(value, at);
    return this;
  }
  list<T>(values: readonly T[] | null, write: (value: T, writer: this) => void): this {
    this.i32(values === null ? -1 : values.length);
    for (const value of values ?? []) write(value, this);
    return this;
  }

  // Flexible versions of requests have lengths as varints plus one, and a list of tagged fields after each struct.

  uvarint(value: number): this {
    if (value > 0x7f) return this.u8((value % 0x80) + 0x80).uvarint(Math.floor(value / 0x80));
    return this.u8(value);
  }
  private u8(value: number): this {
    const [buffer, at] = this.room(1);
    buffer.writeUInt8(value, at);
    return this;
  }
  noTags(): this {
    return this.i8(0);
  }
  compactText(value: string): this {
    const length = Buffer.byteLength(value);
    this.uvarint(length + 1);
    const [buffer, at] = this.room(length);
    buffer.write(value, at);
    return this;
  }
  compactList<T>(values: readonly T[], write: (value: T, writer: this) => unknown): this {
    this.uvarint(values.length + 1);
    for (const value of values) write(value, this);
    return this;
  }
}

/** Reader of a response. Reading beyond the end of the buffer throws a RangeError. */
export class Reader {
  #at = 0;

  constructor(readonly buffer: Buffer) {}

  get left(): number {
    return this.buffer.length - this.#at;
  }

  /** Skips `count` bytes and returns their position. */
  skip(count: number): number {
    if (count < 0 || count > this.left) throw new RangeError(`${count} bytes announced, ${this.left} left`);
    this.#at += count;
    return this.#at - count;
  }

  i8(): number {
    return this.buffer.readInt8(this.skip(1));
  }
  bool(): boolean {
    return this.i8() !== 0;
  }
  i16(): number {
    return this.buffer.readInt16BE(this.skip(2));
  }
  i32(): number {
    return this.buffer.readInt32BE(this.skip(4));
  }
  i64(): number {
    return readI64(this.buffer, this.skip(8));
  }
  text(): string {
    return this.textOrNull() ?? '';
  }
  textOrNull(): string | null {
    const length = this.i16();
    if (length < 0) return null;
    const at = this.skip(length);
    return this.buffer.toString('utf8', at, at + length);
  }
  /** Returns a view of the bytes; empty for null. */
  blob(): Buffer {
    const length = Math.max(this.i32(), 0);
    const at = this.skip(length);
    return this.buffer.subarray(at, at + length);
  }
  list<T>(read: (reader: this) => T): T[] {
    const count = Math.max(this.i32(), 0);
    if (count > this.left) throw new RangeError(`a list of ${count} in ${this.left} bytes`);
    const values: T[] = [];
    for (let i = 0; i < count; i++) values.push(read(this));
    return values;
  }

  // Flexible versions, see Writer.

  uvarint(): number {
    let value = 0;
    for (let shift = 1; shift <= 0x80 ** 4; shift *= 0x80) {
      const byte = this.i8() & 0xff;
      value += (byte & 0x7f) * shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError('a varint of more than 5 bytes');
  }
  /** Skips tagged fields, which newer brokers can add. */
  tags(): void {
    for (let left = this.uvarint(); left > 0; left--) {
      this.uvarint();
      this.skip(this.uvarint());
    }
  }
  /** Returns the text; '' for null. */
  compactText(): string {
    const length = Math.max(this.uvarint() - 1, 0);
    const at = this.skip(length);
    return this.buffer.toString('utf8', at, at + length);
  }
  compactList<T>(read: (reader: this) => T): T[] {
    const count = Math.max(this.uvarint() - 1, 0);
    if (count > this.left) throw new RangeError(`a list of ${count} in ${this.left} bytes`);
    const values: T[] = [];
    for (let i = 0; i < count; i++) values.push(read(this));
    return values;
  }
}

export function writeI64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / 2 ** 32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * 2 ** 32, at + 4);
}

/** Reads a 64-bit integer. Throws a RangeError beyond 2^53, which no valid offset or time reaches. */
export function readI64(buffer: Buffer, at: number): number {
  const value = buffer.readInt32BE(at) * 2 ** 32 + buffer.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is larger than a number can hold`);
  return value;
}

/** Writes the scalars of MessagePack into a growing buffer, and refuses those that would not be preserved. */
import { bigintDigitsMax, extensions } from './body-format';

/** An error for a value that cannot be sent. */
export class Refused extends Error {}
export class TooMuch extends Error {
  constructor(readonly bytes: number) {
    super();
  }
}

export class ByteSink {
  protected desk: Buffer;
  protected view: DataView;
  protected at = 0;
  protected bytesMax = 0;

  constructor(private readonly deskBytes: number) {
    this.desk = Buffer.allocUnsafeSlow(deskBytes);
    this.view = viewOf(this.desk);
  }

  protected begin(bytesMax: number): void {
    this.at = 0;
    this.bytesMax = bytesMax;
  }
  /** Returns a copy of the written bytes, because the next body overwrites the buffer. */
  protected taken(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.at);
    this.desk.copy(bytes, 0, 0, this.at);
    return bytes;
  }
  /** Replaces a large buffer by a small one, so that one large body does not hold memory. */
  protected shrink(): void {
    if (this.desk.length <= deskBytesKept) return;
    this.desk = Buffer.allocUnsafeSlow(this.deskBytes);
    this.view = viewOf(this.desk);
  }

  /** Makes room for a number of bytes, and returns the position at which they can be written. */
  protected room(bytes: number): number {
    const at = this.at;
    if (at + bytes > this.desk.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.desk.length * 2, at + bytes));
      this.desk.copy(larger, 0, 0, at);
      this.desk = larger;
      this.view = viewOf(larger);
    }
    return at;
  }
  protected byte(byte: number): void {
    const at = this.room(1);
    this.desk[at] = byte;
    this.at = at + 1;
  }
  protected header(count: number, short: number, long: number): void {
    const at = this.room(5);
    if (count < 16) {
      this.desk[at] = short | count;
      this.at = at + 1;
    } else if (count < 0x10000) {
      this.desk[at] = long;
      this.view.setUint16(at + 1, count);
      this.at = at + 3;
    } else {
      this.desk[at] = long + 1;
      this.view.setUint32(at + 1, count);
      this.at = at + 5;
    }
  }

  protected number(value: number): void {
    const at = this.room(9);
    const desk = this.desk;
    if ((value | 0) !== value || (value === 0 && 1 / value < 0)) {
      if (value === value >>> 0 && value > 0) {
        desk[at] = 0xce;
        this.view.setUint32(at + 1, value);
        this.at = at + 5;
      } else {
        desk[at] = 0xcb;
        this.view.setFloat64(at + 1, value);
        this.at = at + 9;
      }
    } else if (value >= -32 && value < 0x80) {
      desk[at] = value & 0xff;
      this.at = at + 1;
    } else if (value >= -0x80 && value < 0x100) {
      desk[at] = value < 0 ? 0xd0 : 0xcc;
      desk[at + 1] = value & 0xff;
      this.at = at + 2;
    } else if (value >= -0x8000 && value < 0x10000) {
      desk[at] = value < 0 ? 0xd1 : 0xcd;
      this.view.setUint16(at + 1, value & 0xffff);
      this.at = at + 3;
    } else {
      desk[at] = value < 0 ? 0xd2 : 0xce;
      this.view.setInt32(at + 1, value);
      this.at = at + 5;
    }
  }

  protected bigint(value: bigint): void {
    // Check the range first, because printing the digits of a huge bigint takes seconds.
    if (value >= bigintEnd || value <= -bigintEnd) throw new Refused(`a bigint has at most ${bigintDigitsMax} digits`);
    const digits = String(value);
    const at = this.room(extensionHeadBytes + digits.length);
    this.desk[at] = 0xc7;
    this.desk[at + 1] = digits.length;
    this.desk[at + 2] = extensions.bigint;
    this.at = at + extensionHeadBytes + this.desk.write(digits, at + extensionHeadBytes, 'latin1');
  }

  protected text(value: string): void {
    const { length } = value;
    if (length <= asciiLoopMax && this.ascii(value, length)) return;
    if (!value.isWellFormed()) throw new Refused('a string with half a surrogate pair cannot be sent');
    if (this.at + length > this.bytesMax) throw new TooMuch(this.at + length);
    const at = this.room(length * 3 + 5);
    const bytes = this.desk.write(value, at + 5, 'utf8');
    const head = bytes < 32 ? 1 : bytes < 0x100 ? 2 : bytes < 0x10000 ? 3 : 5;
    if (head < 5) this.desk.copyWithin(at + head, at + 5, at + 5 + bytes);
    if (head === 1) this.desk[at] = 0xa0 | bytes;
    else this.lengthHead(at, head, 0xd9, bytes);
    this.at = at + head + bytes;
  }
  /** Writes a short ASCII string, the most frequent kind. Returns false without effect for any other string. */
  protected ascii(value: string, length: number): boolean {
    const head = length < 32 ? 1 : 2;
    const at = this.room(head + length);
    const desk = this.desk;
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code >= 0x80) return false;
      desk[at + head + i] = code;
    }
    if (head === 1) desk[at] = 0xa0 | length;
    else this.lengthHead(at, head, 0xd9, length);
    this.at = at + head + length;
    return true;
  }
  /** Writes the header of a string or of bytes, which has two, three or five bytes. */
  protected lengthHead(at: number, head: number, first: number, length: number): void {
    if (head === 2) {
      this.desk[at] = first;
      this.desk[at + 1] = length;
    } else if (head === 3) {
      this.desk[at] = first + 1;
      this.view.setUint16(at + 1, length);
    } else {
      this.desk[at] = first + 2;
      this.view.setUint32(at + 1, length);
    }
  }

  protected binary(bytes: Uint8Array): void {
    const { length } = bytes;
    if (this.at + length > this.bytesMax) throw new TooMuch(this.at + length);
    const head = length < 0x100 ? 2 : length < 0x10000 ? 3 : 5;
    const at = this.room(head + length);
    this.lengthHead(at, head, 0xc4, length);
    this.desk.set(bytes, at + head);
    this.at = at + head + length;
  }

  /** Writes a date: 4 bytes for whole seconds up to 2106, 8 bytes up to 2514, 12 bytes for any other. */
  protected date(ms: number): void {
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = (ms - seconds * 1000) * 1e6;
    const high = Math.floor(seconds / 2 ** 32);
    const at = this.room(15);
    if (nanoseconds === 0 && high === 0) {
      this.desk[at] = 0xd6;
      this.desk[at + 1] = extensions.date;
      this.view.setUint32(at + 2, seconds);
      this.at = at + 6;
    } else if (high >= 0 && high < 4) {
      this.desk[at] = 0xd7;
      this.desk[at + 1] = extensions.date;
      this.view.setUint32(at + 2, nanoseconds * 4 + high);
      this.view.setUint32(at + 6, seconds >>> 0);
      this.at = at + 10;
    } else {
      this.desk[at] = 0xc7;
      this.desk[at + 1] = 12;
      this.desk[at + 2] = extensions.date;
      this.view.setUint32(at + 3, nanoseconds);
      this.view.setInt32(at + 7, high);
      this.view.setUint32(at + 11, seconds >>> 0);
      this.at = at + 15;
    }
  }
}

function viewOf({ buffer, byteOffset, length }: Buffer): DataView {
  return new DataView(buffer, byteOffset, length);
}

const bigintEnd = 10n ** BigInt(bigintDigitsMax);
/** Size of the header of a short extension: its code, its length and its type. */
const extensionHeadBytes = 3;
/** Maximum length for which a loop is faster than a call into C++. */
const asciiLoopMax = 40;
const deskBytesKept = 4 * 1024 * 1024;

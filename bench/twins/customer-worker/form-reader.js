/** Reads `multipart/form-data` (RFC 7578) as it arrives. */

import { invalid, unsupported } from "./replies.js";
import { utf8 } from "./requests.js";

/** How many bytes are read from the stream at once. */
const READ_SIZE = 256 * 1024;

/** The maximum length of a part's headers, in bytes. */
const MAX_HEAD = 16 * 1024;

const CR = 0x0d;
const LF = 0x0a;
const HYPHEN = 0x2d;

/** Reads a form from bytes, and then from a stream if there is one. */
export class FormReader {
  /** The buffered bytes, and the position of the first unread one. */
  #bytes;
  #position = 0;
  #stream;

  constructor(bytes, stream) {
    this.#bytes = bytes;
    this.#stream = stream?.getReader({ mode: "byob" });
  }

  /** Reads more bytes, and puts the unread ones in front of them. */
  async #readMore() {
    if (this.#stream === undefined) throw invalid("form");
    const unread = this.#bytes.subarray(this.#position);
    const buffer = new Uint8Array(unread.length + READ_SIZE);
    buffer.set(unread);
    // `readAtLeast` is workerd's own. It fills the buffer, unless the stream ends first.
    const { value } = await this.#stream.readAtLeast(READ_SIZE, buffer.subarray(unread.length));
    if (value === undefined || value.length === 0) throw invalid("form");
    this.#bytes = new Uint8Array(value.buffer, 0, unread.length + value.length);
    this.#position = 0;
  }

  /** Reads until at least `length` unread bytes are buffered. */
  async #require(length) {
    while (this.#bytes.length - this.#position < length) await this.#readMore();
  }

  /** Skips the boundary at the start of the form. */
  async skipBoundary(boundary) {
    await this.#require(boundary.length);
    const start = utf8.decode(this.#bytes.subarray(0, boundary.length));
    if (start !== boundary) throw unsupported("form");
    this.#position = boundary.length;
  }

  /**
   * Reads the rest of a boundary's line, and returns whether a part follows. Two hyphens end the form. The bytes after
   * them are not read.
   */
  async hasPart() {
    await this.#require(2);
    const [first, second] = [this.#bytes[this.#position], this.#bytes[this.#position + 1]];
    this.#position += 2;
    if (first === CR && second === LF) return true;
    if (first !== HYPHEN || second !== HYPHEN) throw invalid("form");
    this.#stream?.cancel().catch(() => {});
    return false;
  }

  /** Reads the headers of a part, and the empty line after them. */
  async readHead() {
    for (;;) {
      const end = endOfHead(this.#bytes, this.#position);
      if (end >= 0) {
        const head = utf8.decode(this.#bytes.subarray(this.#position, end));
        this.#position = end + 4;
        return head;
      }
      if (this.#bytes.length - this.#position > MAX_HEAD) throw invalid("form");
      await this.#readMore();
    }
  }

  /** Reads the content of a part, and the delimiter after it. The content is not copied. */
  async *readContent(delimiter) {
    for (;;) {
      const end = delimiter.find(this.#bytes, this.#position);
      if (end >= 0) {
        if (end > this.#position) yield this.#bytes.subarray(this.#position, end);
        this.#position = end + delimiter.length;
        return;
      }
      // The last bytes may be the beginning of the delimiter.
      const rest = Math.max(this.#position, this.#bytes.length - delimiter.length + 1);
      if (rest > this.#position) yield this.#bytes.subarray(this.#position, rest);
      this.#position = rest;
      await this.#readMore();
    }
  }
}

/** Returns the position of the two line ends after a part's headers, or -1. */
function endOfHead(bytes, from) {
  for (let at = bytes.indexOf(CR, from); at >= 0; at = bytes.indexOf(CR, at + 1)) {
    if (bytes[at + 1] === LF && bytes[at + 2] === CR && bytes[at + 3] === LF) return at;
  }
  return -1;
}

/** Searches for the bytes between two parts with the Boyer-Moore-Horspool algorithm. */
export class Delimiter {
  #bytes;
  /** How far the search can advance, for each value of the byte under the delimiter's last one. */
  #shifts;

  constructor(bytes) {
    const last = bytes.length - 1;
    this.#bytes = bytes;
    this.#shifts = new Uint8Array(256).fill(last + 1);
    for (let at = 0; at < last; at++) this.#shifts[bytes[at]] = last - at;
  }

  get length() {
    return this.#bytes.length;
  }

  /** Returns the position of the delimiter, or -1. */
  find(bytes, from) {
    const delimiter = this.#bytes;
    const shifts = this.#shifts;
    const last = delimiter.length - 1;
    const final = delimiter[last];
    for (let end = from + last; end < bytes.length; end += shifts[bytes[end]]) {
      if (bytes[end] !== final) continue;
      let at = 0;
      while (at < last && bytes[end - last + at] === delimiter[at]) at += 1;
      if (at === last) return end - last;
    }
    return -1;
  }
}

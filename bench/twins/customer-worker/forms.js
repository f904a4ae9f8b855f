/** `POST /files`: a form with a file. */

import { DEFAULT_TYPE, VISIBLE, storedReply } from "./files.js";
import { Delimiter, FormReader } from "./form-reader.js";
import { invalid, unsupported } from "./replies.js";
import { MAX_FILE_KEY, MIB, checkKey, conditionsOf, contentLength, encoder, requireType } from "./requests.js";

/** Forms up to this length are read at once, which is cheaper. */
const SMALL_FORM = MIB;

const NOTHING = new Uint8Array(0);

/**
 * Stores the form's `file` under its `key`. The form is parsed as it arrives, and a large file goes to R2 in parts, so
 * that memory use is constant. `request.formData()` would hold the complete form, and is slower.
 */
export async function uploadForm(request, env) {
  const { headers } = request;
  const contentType = requireType(headers, (type) => type === "multipart/form-data");
  const boundary = parametersOf(contentType).get("boundary") ?? "";
  if (!/^[ -~]{0,69}[!-~]$/.test(boundary)) throw invalid("form");
  if (conditionsOf(headers) !== undefined) throw unsupported("condition");
  const length = contentLength(headers);
  const form = length <= SMALL_FORM ? new FormReader(await request.bytes()) : new FormReader(NOTHING, request.body);
  const delimiter = new Delimiter(encoder.encode(`\r\n--${boundary}`));
  const file = new FileWriter(env.USER_R2, length);
  const seen = new Set();

  await form.skipBoundary(`--${boundary}`);
  while (await form.hasPart()) {
    const { name, isFile, contentType } = parsePartHead(await form.readHead());
    if (isFile !== (name === "file") || (name !== "key" && name !== "file") || seen.has(name)) throw invalid("form");
    seen.add(name);
    if (name === "file") {
      if (!VISIBLE.test(contentType)) throw invalid("form");
      file.httpMetadata = { contentType: contentType || DEFAULT_TYPE };
      for await (const bytes of form.readContent(delimiter)) await file.write(bytes);
    } else {
      let key = "";
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      for await (const bytes of form.readContent(delimiter)) key += decoder.decode(bytes, { stream: true });
      file.key = checkKey(key + decoder.decode(), MAX_FILE_KEY);
    }
  }
  if (!seen.has("file")) throw invalid("form");
  return file.finish();
}

/** Parses the headers of a part. */
function parsePartHead(head) {
  const part = { name: undefined, isFile: false, contentType: "" };
  for (const line of head.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon < 0) throw invalid("form");
    const field = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1);
    if (field === "content-type") part.contentType = value.trim();
    if (field !== "content-disposition") continue;
    const parameters = parametersOf(value);
    part.name = parameters.get("name");
    part.isFile = parameters.has("filename") || parameters.has("filename*");
  }
  return part;
}

const PARAMETER = /;\s*([^;=]*?)\s*=\s*(?:"((?:\\["\\]|[^"])*)(?:"|$)|([^;]*))/g;

/** Returns the parameters of a header's value: `; name=value` or `; name="value"` (RFC 9110, 5.6.6). */
function parametersOf(value) {
  const parameters = new Map();
  for (const [, name, quoted, plain] of value.matchAll(PARAMETER)) {
    const text = quoted === undefined ? plain.trimEnd() : quoted.replace(/\\(["\\])/g, "$1");
    parameters.set(name.toLowerCase(), text);
  }
  return parameters;
}

/** The length of a part of a multipart upload, in bytes: R2's minimum. */
const PART_SIZE = 5 * MIB;

/** Sends a file to R2: in one `put` if it is shorter than a part, otherwise in parts. */
class FileWriter {
  key;
  httpMetadata;
  #bucket;
  /** How many bytes may still arrive, beyond the buffer's capacity. */
  #remaining;
  /** The bytes that were not sent yet. The first chunk is kept as it is until a second one needs a buffer. */
  #firstChunk;
  #buffer;
  #filled = 0;
  #upload;
  #parts = [];
  #pendingPart;

  constructor(bucket, maxLength) {
    this.#bucket = bucket;
    this.#remaining = maxLength;
  }

  async write(bytes) {
    if (this.#firstChunk === undefined && this.#buffer === undefined && bytes.length < PART_SIZE) {
      this.#firstChunk = bytes;
      return;
    }
    for (let at = 0; at < bytes.length; ) {
      this.#buffer ??= this.#newBuffer();
      const taken = bytes.subarray(at, at + PART_SIZE - this.#filled);
      this.#buffer.set(taken, this.#filled);
      this.#filled += taken.length;
      at += taken.length;
      if (this.#filled === PART_SIZE) await this.#send(this.#buffer);
    }
  }

  #newBuffer() {
    const buffer = new Uint8Array(Math.min(PART_SIZE, this.#remaining));
    this.#remaining -= buffer.length;
    if (this.#firstChunk !== undefined) {
      buffer.set(this.#firstChunk);
      this.#filled = this.#firstChunk.length;
      this.#firstChunk = undefined;
    }
    return buffer;
  }

  /** Starts to send a part after R2 has stored the previous one. */
  async #send(part) {
    this.#buffer = undefined;
    this.#filled = 0;
    if (this.key === undefined) throw invalid("form");
    this.#upload ??= await this.#bucket.createMultipartUpload(this.key, { httpMetadata: this.httpMetadata });
    await this.#finishPart();
    this.#pendingPart = this.#upload.uploadPart(this.#parts.length + 1, part);
  }

  async #finishPart() {
    if (this.#pendingPart !== undefined) this.#parts.push(await this.#pendingPart);
    this.#pendingPart = undefined;
  }

  async finish() {
    if (this.key === undefined) throw invalid("key");
    const { httpMetadata } = this;
    const last = this.#firstChunk ?? this.#buffer?.subarray(0, this.#filled);
    if (this.#upload === undefined) {
      return storedReply(await this.#bucket.put(this.key, last ?? "", { httpMetadata }), httpMetadata);
    }
    if (last !== undefined) await this.#send(last);
    await this.#finishPart();
    return storedReply(await this.#upload.complete(this.#parts), httpMetadata);
  }
}

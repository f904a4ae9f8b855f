// The Node scripts' shared code. python/checks.py describes the output of a script.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const URL_OF_PLATFORM = process.env.PLATFORM_URL;
export const PROXY_URL = process.env.PROXY_URL;
export const PROXY_VERSION = process.env.PROXY_VERSION;
export const CUSTOMER = { "X-User-ID": "clients" };

const folder = mkdtempSync(join(tmpdir(), "clients-"));
process.on("exit", () => rmSync(folder, { recursive: true }));

/** Returns incompressible bytes, the same in every run. */
function noise(length) {
  const blocks = [];
  for (let number = 0; number * 32 < length; number++) {
    blocks.push(createHash("sha256").update(String(number)).digest());
  }
  return Buffer.concat(blocks).subarray(0, length);
}

export const SMALL = Buffer.from("hello, world\n");
export const LARGE = noise(12 << 20);
export const PART = 5 << 20;
export const AWKWARD_NAME = "föö 漢字 🦀 (1).txt";

function file(name, content) {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

export const SMALL_FILE = file("small.txt", SMALL);
export const EMPTY_FILE = file("empty.txt", "");
export const LARGE_FILE = file("large.bin", LARGE);
export const AWKWARD_FILE = file(AWKWARD_NAME, SMALL);

/** Returns the numbers and the contents of the parts of the large file. */
export function parts() {
  const parts = [];
  for (let at = 0; at < LARGE.length; at += PART) {
    parts.push([parts.length + 1, LARGE.subarray(at, at + PART)]);
  }
  return parts;
}

/** Returns a function that runs a check of this client and prints its result. */
export function client(client, version) {
  return async (what, act) => {
    let result = "ok";
    try {
      await act();
    } catch (error) {
      const line = /_client\.mjs:(\d+)/.exec(error.stack ?? "")?.[1];
      const cause = error.cause ? `, caused by ${error.cause}` : "";
      result = `line ${line}: ${error}${cause}`.slice(0, 600);
    }
    console.log(JSON.stringify({ client, version, what, result }));
  };
}

/** Throws unless both values are equal. The message has both values, or the lengths of long buffers. */
export function equal(actual, expected) {
  if (Buffer.isBuffer(actual) && Buffer.isBuffer(expected) && expected.length > 1000) {
    assert(actual.equals(expected), `${actual.length} bytes differ from the ${expected.length} expected bytes`);
  } else {
    assert.deepEqual(actual, expected);
  }
}

/** Expects a problem (RFC 9457) with this status and code. */
export function expectProblem(actual, status, code) {
  const { title, detail, requestId, ...rest } = actual.problem;
  equal(
    { status: actual.status, type: actual.contentType, problem: rest },
    { status, type: "application/problem+json", problem: { type: "about:blank", status, code } },
  );
  assert(title && detail && requestId);
}

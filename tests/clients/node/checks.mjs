// What the Node clients' scripts share; python/checks.py says what a script prints.

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

/** Bytes that no compression shortens, the same each time. */
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

/** The parts of a file that is uploaded in parts, with their numbers. */
export function parts() {
  const parts = [];
  for (let at = 0; at < LARGE.length; at += PART) {
    parts.push([parts.length + 1, LARGE.subarray(at, at + PART)]);
  }
  return parts;
}

/** A client whose checks are printed. */
export function client(client, version) {
  return async (what, act) => {
    let result = "ok";
    try {
      await act();
    } catch (error) {
      const line = /_client\.mjs:(\d+)/.exec(error.stack ?? "")?.[1];
      const cause = error.cause ? `, because of ${error.cause}` : "";
      result = `line ${line}: ${error}${cause}`.slice(0, 600);
    }
    console.log(JSON.stringify({ client, version, what, result }));
  };
}

/** Fails with both if they differ, or with the lengths of long ones. */
export function equal(actual, expected) {
  if (Buffer.isBuffer(actual) && Buffer.isBuffer(expected) && expected.length > 1000) {
    assert(actual.equals(expected), `${actual.length} bytes are not the ${expected.length} expected`);
  } else {
    assert.deepEqual(actual, expected);
  }
}

/** A refusal as RFC 9457 has it, with its code. */
export function expectProblem(actual, status, code) {
  const { title, detail, requestId, ...rest } = actual.problem;
  equal(
    { status: actual.status, type: actual.contentType, problem: rest },
    { status, type: "application/problem+json", problem: { type: "about:blank", status, code } },
  );
  assert(title && detail && requestId);
}

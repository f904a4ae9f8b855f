// The first Worker in the dispatcher's process. It forwards every request to the dispatcher and works around two
// problems of workerd with bodies:
//
// - workerd closes the connection of a client that is still sending its body when the reply comes early, as a 413 does.
//   This Worker reads the rest of the body.
// - A body of unknown length that breaks off looks complete to the Worker that it is forwarded to. Therefore, the
//   platform's front appends a byte to such a body: 0 if the body is complete, 1 if its client has disconnected. In the
//   latter case, this Worker cancels the request.

/** Once the reply is ready, a client that has sent nothing for this long counts as having stopped. In milliseconds. */
const PATIENCE = 500;

/** The time that may pass until the end of a body is noticed, in milliseconds. */
const MOMENT = 10;

/**
 * The time for which a broken body is kept open, in milliseconds, so that the request is cancelled before the body
 * ends.
 */
const CANCELLATION = 1_000;

const COMPLETE = 0;

export default {
  async fetch(request, env, ctx) {
    // The runtime's `cf` describes a connection between the platform's own processes.
    const cf = {};
    if (request.body === null) return env.DISPATCHER.fetch(new Request(request, { cf, signal: request.signal }));
    const controller = new AbortController();
    request.signal.addEventListener("abort", () => controller.abort(request.signal.reason));
    const { readable, writable } = passage(request.headers);
    const body = new RequestBody(request, writable, (error) => {
      ctx.waitUntil(scheduler.wait(CANCELLATION));
      controller.abort(error);
    });
    const passed = new Request(request, { cf, body: readable, signal: controller.signal });
    const reply = await env.DISPATCHER.fetch(passed);
    return (await body.hasEnded()) ? reply : untilEnd(reply, body, ctx);
  },
};

/**
 * Returns the same reply, but delays its end until the request's body has ended. Otherwise, workerd would cut the body
 * off.
 */
async function untilEnd(reply, body, ctx) {
  if (reply.body === null) {
    await body.end();
    return reply;
  }
  if (reply.headers.has("Content-Encoding")) {
    // Reading the reply's body would decode it, so the reply is returned unchanged.
    ctx.waitUntil(body.end());
    return reply;
  }
  const { readable, writable } = passage(reply.headers);
  reply.body.pipeTo(writable, { preventClose: true }).then(
    async () => {
      await body.end();
      await writable.close();
    },
    () => {}, // pipeTo has aborted the reply, so the client sees that it broke off.
  );
  return new Response(readable, { status: reply.status, headers: reply.headers });
}

/** Creates a stream for a body of the length in the headers. The runtime supports at most 2^53 - 1 bytes. */
function passage(headers) {
  const length = headers.get("Content-Length");
  if (length === null) return new IdentityTransformStream();
  return new FixedLengthStream(Math.min(Number(length), Number.MAX_SAFE_INTEGER));
}

/** Writes a request's body to the dispatcher while the dispatcher reads it, and reads the rest. */
class RequestBody {
  #received = 0;
  #done;

  constructor(request, writable, cancel) {
    const isMarked = !request.headers.has("Content-Length");
    this.#done = this.#send(request.body.getReader({ mode: "byob" }), writable.getWriter(), isMarked).catch(cancel);
  }

  async #send(reader, writer, isMarked) {
    // All pieces use one buffer: the garbage collector could not keep up with a new one for each. The last byte of a
    // piece may be the mark, so it is held back. It is written to the first byte of the buffer, in front of the next
    // piece.
    let buffer = new ArrayBuffer(1 + 65_536);
    let held;
    let wanted = true;
    for (;;) {
      const { done, value } = await reader.read(new Uint8Array(buffer, 1));
      if (done) break;
      buffer = value.buffer;
      this.#received += value.byteLength;
      let piece = value;
      if (isMarked) {
        const bytes = new Uint8Array(buffer);
        if (held !== undefined) bytes[0] = held;
        piece = bytes.subarray(held === undefined ? 1 : 0, value.byteLength);
        held = bytes[value.byteLength];
      }
      // The dispatcher may stop reading at any time.
      if (wanted && piece.byteLength > 0) wanted = await writer.write(piece).then(() => true, () => false);
    }
    if (isMarked && held !== COMPLETE) throw new Error("The client has disconnected.");
    if (wanted) await writer.close().catch(() => {});
  }

  /** Whether the body has ended. Waits up to `MOMENT`, because the end of a body is noticed with a delay. */
  hasEnded() {
    return Promise.race([this.#done.then(() => true), scheduler.wait(MOMENT).then(() => false)]);
  }

  /** Waits until the body has ended or its client has stopped sending, as curl does when it gets an error. */
  async end() {
    const done = this.#done.then(() => true);
    for (let before = -1; before !== this.#received; ) {
      before = this.#received;
      if (await Promise.race([done, scheduler.wait(PATIENCE).then(() => false)])) return;
    }
  }
}

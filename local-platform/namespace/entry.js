// The first Worker of the dispatcher's process: hands every request to the dispatcher. It makes up for what workerd does with bodies:
//
// - It hangs up on a client that is still sending when the reply comes early, as a 413 does. This Worker reads the rest.
// - A body without a length that breaks off looks complete to whom it is passed on. The platform's front therefore adds a
//   byte to such a body: 0 if it is complete, 1 if its client has gone. This Worker cancels the request in that case.

/** A client that has sent nothing for so long, in milliseconds, after it got its reply, has stopped. */
const PATIENCE = 500;

/** How long the end of a body may take to be known, in milliseconds. */
const MOMENT = 10;

/** How long a broken body stays open, in milliseconds, so that the request is cancelled before the body ends. */
const CANCELLATION = 1_000;

const COMPLETE = 0;

export default {
  async fetch(request, env, ctx) {
    // What the runtime says of the connection is about the platform's own processes.
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

/** The same reply, which ends no sooner than the request's body: that would cut the body off. */
async function untilEnd(reply, body, ctx) {
  if (reply.body === null) {
    await body.end();
    return reply;
  }
  if (reply.headers.has("Content-Encoding")) {
    // It would be decoded here, and is rather passed on as it is.
    ctx.waitUntil(body.end());
    return reply;
  }
  const { readable, writable } = passage(reply.headers);
  reply.body.pipeTo(writable, { preventClose: true }).then(
    async () => {
      await body.end();
      await writable.close();
    },
    () => {}, // pipeTo has aborted the reply, so that the client sees it broken off.
  );
  return new Response(readable, { status: reply.status, headers: reply.headers });
}

/** A stream to pass a body on, of the length that the headers say. The runtime has none longer than 2^53 - 1 bytes. */
function passage(headers) {
  const length = headers.get("Content-Length");
  if (length === null) return new IdentityTransformStream();
  return new FixedLengthStream(Math.min(Number(length), Number.MAX_SAFE_INTEGER));
}

/** Writes a request's body to the dispatcher as long as it reads, and reads the rest. */
class RequestBody {
  #received = 0;
  #done;

  constructor(request, writable, cancel) {
    const isMarked = !request.headers.has("Content-Length");
    this.#done = this.#send(request.body.getReader({ mode: "byob" }), writable.getWriter(), isMarked).catch(cancel);
  }

  async #send(reader, writer, isMarked) {
    // One buffer for all pieces: a new one for each would outgrow the garbage collector. Its first byte is for the last
    // byte of the piece before, which may be the mark and is held back.
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

  /** Whether the body has ended. What has just ended may take a moment to be known. */
  hasEnded() {
    return Promise.race([this.#done.then(() => true), scheduler.wait(MOMENT).then(() => false)]);
  }

  /** Waits until the body has ended, or its client has stopped sending, as curl does when it sees an error. */
  async end() {
    const done = this.#done.then(() => true);
    for (let before = -1; before !== this.#received; ) {
      before = this.#received;
      if (await Promise.race([done, scheduler.wait(PATIENCE).then(() => false)])) return;
    }
  }
}

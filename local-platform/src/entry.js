// The first Worker of the local runtime: hands every request to the dispatcher, and reads what the dispatcher leaves
// unread. Cloudflare's network takes a request's body off a client whatever a Worker does with it; workerd hangs up on a
// client that is still sending, and a reply that comes early, as a 413 does, is lost with the connection.

/** A client that has sent nothing for so long, in milliseconds, after it got its reply, has stopped. */
const PATIENCE = 500;

export default {
  async fetch(request, env) {
    if (request.headers.get("Platform-Storage") === env.STORAGE_SECRET) return env.STORAGE.fetch(request);
    if (request.body === null) return shielded(await env.DISPATCHER.fetch(request), env.SHIELD);
    const body = passage(request.headers);
    const sending = new Sending(request.body, body.writable);
    const reply = shielded(await env.DISPATCHER.fetch(new Request(request, { body: body.readable })), env.SHIELD);
    if (reply.body === null) {
      await sending.end();
      return reply;
    }
    // The reply goes out as it comes, but must not end before the request has: that would cut it off.
    const { readable, writable } = passage(reply.headers);
    reply.body.pipeTo(writable, { preventClose: true }).then(
      async () => {
        await sending.end();
        await writable.close();
      },
      () => {}, // pipeTo has aborted the reply, so that the client sees it broken off.
    );
    return new Response(readable, { status: reply.status, headers: reply.headers, encodeBody: "manual" });
  },
};

/**
 * Hides from the runtime the headers of a reply that it would obey: its own (`MF-*`), which a script may send by any name, and
 * the type of what is HTML, which wrangler rewrites, and fails at some of it. They go out under names that start with `shield`,
 * which is made anew at each start and known to the front alone, which gives them their own names back.
 */
function shielded(reply, shield) {
  const obeyed = ([name, value]) =>
    name.startsWith("mf-") || (name === "content-type" && reply.body !== null && /html/i.test(value));
  const hidden = [...reply.headers].filter(obeyed);
  if (hidden.length === 0) return reply;
  const headers = new Headers(reply.headers);
  for (const [name, value] of hidden) {
    headers.delete(name);
    headers.set(shield + name, value);
  }
  const { status, statusText, webSocket } = reply;
  return new Response(reply.body, { status, statusText, headers, webSocket, encodeBody: "manual" });
}

/** A stream to hand a body on, of the length that the headers say. The runtime has none longer than 2^53 - 1 bytes. */
function passage(headers) {
  const length = headers.get("Content-Length");
  if (length === null) return new IdentityTransformStream();
  return new FixedLengthStream(Math.min(Number(length), Number.MAX_SAFE_INTEGER));
}

/** Writes a body to the dispatcher as long as it reads, and reads the rest: `pipeTo` would give both up together. */
class Sending {
  #received = 0;
  #done;

  constructor(body, writable) {
    this.#done = this.#send(body.getReader({ mode: "byob" }), writable.getWriter());
  }

  async #send(reader, writer) {
    // A body that breaks off looks complete behind a service binding, unless its length is known. Without its last piece,
    // which is held until there is another or the end, it is at least not whole. The two buffers take turns: a new one for
    // each piece would outgrow the garbage collector.
    const buffers = [new ArrayBuffer(65_536), new ArrayBuffer(65_536)];
    let held = null;
    let wanted = true;
    const release = async () => {
      if (held === null) return;
      wanted &&= await writer.write(held).then(() => true, () => false);
      buffers.push(held.buffer);
    };
    try {
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(buffers.pop()));
        if (done) break;
        this.#received += value.byteLength;
        await release();
        held = value;
      }
      await release();
      if (wanted) await writer.close();
    } catch (error) {
      // The client has gone, or the dispatcher has just stopped reading. It is told, if it still listens.
      await writer.abort(error).catch(() => {});
    }
    return "done";
  }

  /** Waits until the body has ended, or its client has stopped sending, as curl does when it sees an error. */
  async end() {
    for (let before = -1; before !== this.#received; ) {
      before = this.#received;
      const pause = new Promise((resolve) => setTimeout(resolve, PATIENCE));
      if ((await Promise.race([this.#done, pause])) === "done") return;
    }
  }
}

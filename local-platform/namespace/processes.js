// Runs in workerd, as the wrapper around the inner bindings: a dispatch namespace whose scripts are processes. Each has a
// socket, on which the supervisor listens; a connection to it starts the process.

/** A Worker with this `fetch`, and the RPC methods and properties of what `connect` returns. It connects when it is used. */
const worker = (connect, fetch) =>
  new Proxy({}, {
    get: (_target, property) => {
      if (property === "fetch") return fetch;
      return typeof property === "symbol" || property === "then" ? undefined : connect()[property];
    },
  });

/** Whether the path of a URL has a segment that would be lost on the way; see companion.js. */
const hasEmptySegment = (url) => new URL(url).pathname.includes("//");

/**
 * The same request, which is cancelled when its client has gone. workerd would leave the script waiting for the rest of the
 * body as long as the dispatcher has work under way.
 */
function cancellable(request) {
  const controller = new AbortController();
  request.signal.addEventListener("abort", () => controller.abort(request.signal.reason));
  if (request.body === null) return new Request(request, { signal: controller.signal });
  // The runtime has no stream that is longer than 2^53 - 1 bytes.
  const length = request.headers.get("Content-Length");
  const fixed = () => new FixedLengthStream(Math.min(Number(length), Number.MAX_SAFE_INTEGER));
  const { readable, writable } = length === null ? new IdentityTransformStream() : fixed();
  request.body.pipeTo(writable, { preventAbort: true, preventCancel: true }).catch(async (error) => {
    const reader = request.body.getReader();
    const hasFailed = reader.closed.then(() => false, () => true);
    // Otherwise the script has stopped reading, which is its right.
    if (await Promise.race([hasFailed, scheduler.wait(0).then(() => false)])) controller.abort(error);
    else await reader.cancel(error);
  });
  return new Request(request, { body: readable, signal: controller.signal });
}

export default function makeNamespace({ port, supervisor, settings }) {
  /** What the supervisor knows of scripts: limits, and parameters of the outbound Worker. */
  const known = new Map();

  /** Tells the supervisor what has changed. A request whose client goes meanwhile leaves nothing for others to wait for. */
  const tell = async (script, { limits, outbound } = {}) => {
    const text = JSON.stringify({ limits, outbound });
    if (text === (known.get(script) ?? "{}")) return;
    const headers = { "Content-Type": "application/json" };
    const { ok } = await supervisor.fetch(`http://supervisor/scripts/${script}`, { method: "PUT", headers, body: text });
    // Otherwise there is no such script yet.
    if (ok) known.set(script, text);
  };

  /** Why a connection to a script was lost, in the words that Cloudflare's namespace uses. */
  const reason = async (script, error) => {
    if (error.remote) return error;
    const reply = await supervisor.fetch(`http://supervisor/scripts/${encodeURIComponent(script)}`);
    return reply.status === 204 ? error : new Error(await reply.text());
  };

  /** The script behind a name: the same, unless the binding's options list its scripts. */
  const scriptOf = (name) => {
    if (settings.scripts === undefined) return name;
    return Object.hasOwn(settings.scripts, name) ? settings.scripts[name].replace(/^customer-/, "") : undefined;
  };

  return {
    /** Synchronous, and returns a real Fetcher for every name. That there is no such script shows at its first use. */
    get(name, _args, options) {
      const script = scriptOf(String(name));
      if (script === undefined) throw new Error("Worker not found.");
      if (Object.hasOwn(settings.hosted, script)) {
        const service = `core:user:${settings.hosted[script]}`;
        const connect = () => port.connect(`unix:${settings.hub}`).getEntrypoint(service);
        return worker(connect, (...parameters) => connect().fetch(cancellable(new Request(...parameters))));
      }
      if (!/^[a-z0-9_-]{1,63}$/.test(script)) throw new Error("Worker not found.");
      const connect = (service) => port.connect(`unix:${settings.sockets}/${script}`).getEntrypoint(service);
      const fetch = async (...parameters) => {
        const request = cancellable(new Request(...parameters));
        try {
          // Before it connects: what is told may lead to another process.
          await tell(script, options);
          if (!hasEmptySegment(request.url)) return await connect("script").fetch(request);
          const headers = new Headers(request.headers);
          headers.set("Platform-Url", request.url);
          return await connect("companion").fetch(new Request(request, { headers }));
        } catch (error) {
          throw await reason(script, error);
        }
      };
      return worker(() => connect("script"), fetch);
    },
  };
}

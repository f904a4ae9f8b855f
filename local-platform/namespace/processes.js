// A dispatch namespace whose scripts run in processes of their own. Runs in workerd, as the wrapper around the inner
// bindings. Each script has a socket on which the supervisor listens. A connection to the socket starts the process.

/** A Worker with this `fetch`, and the RPC methods and properties of what `connect` returns. It connects when it is used. */
const worker = (connect, fetch) =>
  new Proxy({}, {
    get: (_target, property) => {
      if (property === "fetch") return fetch;
      return typeof property === "symbol" || property === "then" ? undefined : connect()[property];
    },
  });

/** Whether the path of a URL has an empty segment. A connection to a process would lose it; see companion.js. */
const hasEmptySegment = (url) => new URL(url).pathname.includes("//");

/**
 * Returns the same request, but cancels it when its client disconnects. Otherwise, workerd would let the script wait
 * for the rest of the body for as long as the dispatcher is busy.
 */
function cancellable(request) {
  const controller = new AbortController();
  request.signal.addEventListener("abort", () => controller.abort(request.signal.reason));
  if (request.body === null) return new Request(request, { signal: controller.signal });
  // The runtime supports streams of at most 2^53 - 1 bytes.
  const length = request.headers.get("Content-Length");
  const fixed = () => new FixedLengthStream(Math.min(Number(length), Number.MAX_SAFE_INTEGER));
  const { readable, writable } = length === null ? new IdentityTransformStream() : fixed();
  request.body.pipeTo(writable, { preventAbort: true, preventCancel: true }).catch(async (error) => {
    const reader = request.body.getReader();
    const hasFailed = reader.closed.then(() => false, () => true);
    // If the body has not failed, the script has stopped reading, which is not an error.
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
    if (text === known.get(script)) return;
    const headers = { "Content-Type": "application/json" };
    const { ok } = await supervisor.fetch(`http://supervisor/scripts/${script}`, { method: "PUT", headers, body: text });
    // Otherwise there is no such script yet.
    if (ok) known.set(script, text);
  };

  /** Returns why a connection to a script was lost, in the words of Cloudflare's namespaces. */
  const reason = async (script, error) => {
    if (error.remote) return error;
    const reply = await supervisor.fetch(`http://supervisor/scripts/${encodeURIComponent(script)}`);
    return reply.status === 204 ? error : new Error(await reply.text());
  };

  /**
   * Returns the script with this name in the namespace. It has the same name, unless the binding's options list the
   * scripts.
   */
  const scriptOf = (name) => {
    if (settings.scripts === undefined) return name;
    return Object.hasOwn(settings.scripts, name) ? settings.scripts[name].replace(/^customer-/, "") : undefined;
  };

  return {
    /**
     * Returns a Fetcher synchronously. Throws if no script can have this name. If the script does not exist, the
     * Fetcher fails when it is used.
     */
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

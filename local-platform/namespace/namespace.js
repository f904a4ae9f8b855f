// Runs in workerd, as the wrapper around the inner bindings: makes of them what a dispatch namespace is.
export default function makeNamespace(workers) {
  return {
    /**
     * Like Cloudflare's: synchronous, and answers a real Fetcher. `args` and `options` (limits, outbound parameters) are
     * taken and have no effect, as the local runtime enforces no limits.
     */
    get(name, _args, _options) {
      if (!Object.hasOwn(workers, name)) throw new Error("Worker not found.");
      return workers[name];
    },
  };
}

// A Worker that runs beside each script, in the script's process.
export default {
  /**
   * Forwards a request to the script under its own URL. A connection to a process loses empty segments of a path, such
   * as the one in `/https://example.com`; see processes.js.
   */
  fetch(request, env) {
    const headers = new Headers(request.headers);
    const url = headers.get("Platform-Url");
    headers.delete("Platform-Url");
    return env.SCRIPT.fetch(new Request(url, new Request(request, { headers, signal: request.signal })));
  },

  /** Logs the script's exceptions, because the runtime does not. */
  tail(events) {
    for (const { exceptions } of events) {
      for (const { name, message, stack } of exceptions) {
        console.error([`Uncaught ${name}: ${message}`, stack].filter(Boolean).join("\n"));
      }
    }
  },
};

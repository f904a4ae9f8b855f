// Runs beside a script, in its process.
export default {
  /**
   * Passes a request on to the script under its own URL. A connection to a process loses empty segments of a path, such as
   * the one in `/https://example.com`; see processes.js.
   */
  fetch(request, env) {
    const headers = new Headers(request.headers);
    const url = headers.get("Platform-Url");
    headers.delete("Platform-Url");
    return env.SCRIPT.fetch(new Request(url, new Request(request, { headers, signal: request.signal })));
  },

  /** Logs the script's exceptions, which the runtime keeps to itself. */
  tail(events) {
    for (const { exceptions } of events) {
      for (const { name, message, stack } of exceptions) {
        console.error([`Uncaught ${name}: ${message}`, stack].filter(Boolean).join("\n"));
      }
    }
  },
};

/** Writes a line of JSON to the log, without what is not known; answers the milliseconds since `started`. */
export function log(requestId, userId, plan, route, method, status, started, bytesIn, bytesOut, code, cause, version) {
  const level = cause === undefined ? "info" : "error";
  const ms = Math.max(0, Date.now() - started);
  const line = { level, requestId, userId, plan, route, method, status, ms, bytesIn, bytesOut, code, cause, version };
  const text = JSON.stringify(line);
  if (cause === undefined) console.log(text);
  else console.error(text);
  return ms;
}

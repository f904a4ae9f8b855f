/** Writes a line of JSON to the log, without what is not known. */
export function log(requestId, userId, plan, route, method, status, ms, bytesIn, bytesOut, code, cause, version) {
  const level = cause === undefined ? "info" : "error";
  const line = { level, requestId, userId, plan, route, method, status, ms, bytesIn, bytesOut, code, cause, version };
  const text = JSON.stringify(line);
  if (cause === undefined) console.log(text);
  else console.error(text);
}

/**
 * Writes a line of JSON to the log, without what is not known, and a data point to the dataset, if there is one: there, what is not
 * known is empty or 0. `version` is the dispatcher's; the order of the columns is that in which SQL names them.
 */
export function record(dataset, reply, requestId, userId, plan, route, method, started, bytesIn, code, cause, version) {
  const { status } = reply;
  const level = cause === undefined ? "info" : "error";
  const ms = Math.max(0, Date.now() - started);
  const bytesOut = length(reply, method);
  const text = JSON.stringify({
    level, requestId, userId, plan, route, method, status, ms, bytesIn, bytesOut, code, cause, version,
  });
  if (cause === undefined) console.log(text);
  else console.error(text);
  dataset?.writeDataPoint({
    indexes: [userId ?? ""],
    blobs: [route, method, code ?? "", plan ?? "", version],
    doubles: [ms, status, bytesIn ?? 0, bytesOut ?? 0],
  });
}

/** The length of a reply's body, if it goes with one and says it: in digits alone, whatever else JavaScript takes for a number. */
function length({ status, headers }, method) {
  if (method === "HEAD" || status === 101 || status === 204 || status === 304) return undefined;
  const text = headers.get("Content-Length");
  const length = Number(text);
  return Number.isSafeInteger(length) && length >= 0 && String(length) === text ? length : undefined;
}

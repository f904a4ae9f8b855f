/** A reply's status and the headers that are looked at, each as a line of its number and its value. */
export function look({ status, headers }) {
  return `0:${status}\n1:${headers.get("Vary") ?? ""}\n2:${headers.get("Content-Length") ?? ""}\n`;
}

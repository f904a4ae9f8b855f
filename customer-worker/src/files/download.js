/**
 * A reply about a file, with its validators (RFC 9110, 8.8) and, if it has a type, its length: that of the file, unless it is one of
 * the `length` bytes from `first` on. `others` are headers in lines, each a name, a colon and a value.
 */
export function respond(file, withBody, init, contentType, first, length, others) {
  const reply = new Response(withBody ? file.body : null, init);
  const { headers } = reply;
  headers.set("ETag", file.httpEtag);
  headers.set("Last-Modified", file.uploaded.toUTCString());
  if (contentType !== undefined) {
    headers.set("Content-Type", contentType);
    headers.set("Content-Length", length ?? file.size);
  }
  if (first !== undefined) headers.set("Content-Range", `bytes ${first}-${first + length - 1}/${file.size}`);
  for (const line of others?.split("\n") ?? []) {
    const colon = line.indexOf(":");
    headers.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return reply;
}

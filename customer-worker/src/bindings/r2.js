/**
 * A file's length, and the headers that are kept with it: a line for each, which begins with a colon if it is there. One that
 * no header can hold, having a line feed in it, is not.
 */
export function describe({ size, httpMetadata }) {
  const { contentType, cacheControl, contentDisposition, contentEncoding, contentLanguage, cacheExpiry } = httpMetadata;
  const kept = [contentType, cacheControl, contentDisposition, contentEncoding, contentLanguage, cacheExpiry?.toUTCString()];
  let text = `${size}`;
  for (const value of kept) text += value == null || `${value}`.includes("\n") ? "\n" : `\n:${value}`;
  return text;
}

/** A reply about a file: with its etag, its date, and these headers, each a line of a name, a colon and a value. */
export function reply(file, body, init, lines) {
  const response = new Response(body, init);
  const { headers } = response;
  headers.set("ETag", file.httpEtag);
  headers.set("Last-Modified", file.uploaded.toUTCString());
  for (const line of lines.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return response;
}

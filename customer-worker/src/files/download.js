/**
 * Gives a reply the validators of a file (RFC 9110, 8.8). Here, because each value that Wasm holds of JavaScript's costs as much as
 * a header, and these two need not come there.
 */
export function setValidators(headers, file) {
  headers.set("ETag", file.httpEtag);
  headers.set("Last-Modified", file.uploaded.toUTCString());
}

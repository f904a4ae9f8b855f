import { env } from "cloudflare:workers";

/** A file with its bytes, or those of a range. Without its bytes if it is the version `unless`. */
export function get(key, offset, length, suffix, unless) {
  let range;
  if (offset !== undefined) range = { offset, length };
  else if (suffix !== undefined) range = { suffix };
  const onlyIf = unless === undefined ? undefined : { etagDoesNotMatch: unless };
  return env.USER_R2.get(key, range || onlyIf ? { range, onlyIf } : undefined);
}

/**
 * The headers that are kept with a file, each as a line of its number, a colon and its value, but for one that has a line feed in
 * it, which no header can have; and a last line if the file came with its body. Nothing if there is no file.
 */
export function kept(file) {
  if (file === null) return undefined;
  const { contentType, cacheControl, contentDisposition, contentEncoding, contentLanguage, cacheExpiry } = file.httpMetadata;
  const expires = cacheExpiry?.toUTCString();
  const values = [contentType, cacheControl, contentDisposition, contentEncoding, contentLanguage, expires];
  let text = "";
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value != null && !value.includes("\n")) text += `${i}:${value}\n`;
  }
  return file.body === undefined ? text : `${text}6:\n`;
}

/** Stores a file, with its type and what else is kept with it. A request as `content` stands for its body. */
export function put(key, content, contentType, others, onlyIf) {
  const value = content instanceof Request ? (content.body ?? "") : content;
  return env.USER_R2.put(key, value, { httpMetadata: { contentType, ...others }, onlyIf });
}

/** Begins an upload in parts, likewise. */
export function createUpload(key, contentType, others) {
  return env.USER_R2.createMultipartUpload(key, { httpMetadata: { contentType, ...others } });
}

/** Size and etag of a file that was stored, with a space between them; nothing if none was. */
export function stored(file) {
  return file === null ? undefined : `${file.size} ${file.etag}`;
}

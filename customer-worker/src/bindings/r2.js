/**
 * The headers that are kept with a file, each as a line of its number and its value, but for one that has a line feed in it, which
 * no header can have.
 */
export function kept({ httpMetadata }) {
  const { contentType, cacheControl, contentDisposition, contentEncoding, contentLanguage, cacheExpiry } = httpMetadata;
  const expires = cacheExpiry?.toUTCString();
  const values = [contentType, cacheControl, contentDisposition, contentEncoding, contentLanguage, expires];
  let text = "";
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    if (value != null && !value.includes("\n")) text += `${i}:${value}\n`;
  }
  return text;
}

/** What is said of a value, in JSON that begins with `before`; `null` if there is none. */
export function shown({ value, metadata }, before) {
  if (value === null) return null;
  return metadata == null ? `${before}${value}}` : `${before}${value},"metadata":${JSON.stringify(metadata)}}`;
}

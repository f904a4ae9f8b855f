/** What is said of a value with its metadata, in JSON that `before` begins; nothing if there is no value. */
export function show({ value, metadata }, before) {
  if (value === null) return undefined;
  const after = metadata === null ? "" : `,"metadata":${JSON.stringify(metadata)}`;
  return `${before}${value}${after}}`;
}

/**
 * Those of these headers that are there, each as a line of its number and its value; nothing if there are none. No value has a
 * line feed in it (RFC 9110, 5.5).
 */
export function several({ headers }, names) {
  let text;
  for (let i = 0; i < names.length; i++) {
    const value = headers.get(names[i]);
    if (value !== null) text = `${text ?? ""}${i}:${value}\n`;
  }
  return text;
}

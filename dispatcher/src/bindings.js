/** Which of these are there: a bit for each, the first name's lowest. */
export function bound(env, names) {
  let bits = 0;
  for (let i = 0; i < names.length; i++) if (env[names[i]] != null) bits |= 1 << i;
  return bits;
}

/** A variable or secret as text: one that is not a string, as wrangler files may have them, as the JSON that it is. */
export function text(env, name) {
  const value = env[name];
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "");
}

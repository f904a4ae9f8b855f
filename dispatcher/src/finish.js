/** Whether a reply has this `Vary`, letter by letter, as those of the platform's own Workers have. */
export function varies({ headers }, vary) {
  return headers.get("Vary") === vary;
}

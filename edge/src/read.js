/** A request's method and URL, and these of its headers. */
export function readRequest(request, names) {
  return lines(`${request.method} ${request.url}`, request.headers, names);
}

/** A reply's status, and these of its headers. */
export function readReply(reply, names) {
  return lines(`${reply.status}`, reply.headers, names);
}

/** These headers of a request. */
export function readHeaders(request, names) {
  return lines("", request.headers, names);
}

/** A line for each header, which begins with a colon if it is there. No value has a line feed in it (RFC 9110, 5.5). */
function lines(first, headers, names) {
  let text = first;
  for (let i = 0; i < names.length; i++) {
    const value = headers.get(names[i]);
    text += value === null ? "\n" : `\n:${value}`;
  }
  return text;
}

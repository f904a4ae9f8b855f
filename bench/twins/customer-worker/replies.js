/** Replies and problems. */

/** The `Vary` header of the platform's replies. */
export const VARY = "X-User-ID, Authorization";

/** The headers of JSON replies. Copying them is cheaper than creating them from names and values. */
const JSON_HEADERS = new Headers({ "Content-Type": "application/json", "Cache-Control": "no-store", Vary: VARY });

export function jsonReply(body) {
  return new Response(body, { headers: JSON_HEADERS });
}

/** An error reply (RFC 9457). Not an `Error`: capturing a stack would cost more than the rest of the request. */
export class Problem {
  constructor(status, title, code, detail) {
    this.status = status;
    this.title = title;
    this.code = code;
    this.detail = detail;
  }

  reply(requestId) {
    const { status, title, code, detail } = this;
    const body = JSON.stringify({ type: "about:blank", title, status, detail, code, requestId });
    const headers = { "Content-Type": "application/problem+json", "Cache-Control": "no-store", Vary: VARY };
    return new Response(body, { status, headers });
  }
}

export function invalid(what) {
  return new Problem(400, "Bad Request", `invalid_${what}`);
}

/** A valid request that the benchmark does not send. */
export function unsupported(what) {
  return new Problem(400, "Bad Request", `unsupported_${what}`);
}

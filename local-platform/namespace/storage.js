// Reads and writes the local storage. Only the local Cloudflare API can reach this Worker's socket. The storage is
// bound under names such as `kv:<id>`. The query of a request has the storage, the operation, the key and the options.

export default {
  async fetch(request, env) {
    const query = new URL(request.url).searchParams;
    const storage = env[query.get("storage")];
    const options = JSON.parse(query.get("options") ?? "{}");
    try {
      return await operations[query.get("operation")](storage, { key: query.get("key"), options, request });
    } catch (error) {
      return new Response(error.message, { status: 400 });
    }
  },
};

const operations = {
  async "kv.get"(kv, { key }) {
    const value = await kv.get(key, "stream");
    if (value === null) return missing();
    const expiration = (await listed(kv, key))?.expiration;
    return new Response(value, { headers: expiration === undefined ? {} : { Expiration: expiration } });
  },
  /**
   * Reads several values, optionally with metadata and expiration. The simulator's own operation for this loses some
   * keys, such as `__proto__`.
   */
  async "kv.getMany"(kv, { options: { type, withMetadata }, request }) {
    const read = async (key) => {
      const { value, metadata } = await kv.getWithMetadata(key, { type });
      if (!withMetadata) return [key, value];
      const found = await listed(kv, key);
      // The value of an existing key may be the JSON value `null`.
      if (value === null && found === undefined) return [key, null];
      return [key, { value, metadata, expiration: found?.expiration }];
    };
    return Response.json(Object.fromEntries(await Promise.all((await request.json()).map(read))));
  },
  async "kv.metadata"(kv, { key }) {
    const { value, metadata } = await kv.getWithMetadata(key, "stream");
    await value?.cancel();
    return Response.json({ exists: value !== null, metadata });
  },
  async "kv.put"(kv, { key, options, request }) {
    await kv.put(key, await request.arrayBuffer(), options);
    return new Response();
  },
  async "kv.delete"(kv, { key }) {
    await kv.delete(key);
    return new Response();
  },
  async "kv.list"(kv, { options }) {
    const { keys, list_complete, cursor } = await kv.list(options);
    return Response.json({ keys, cursor: list_complete ? "" : cursor });
  },

  async "kv.purge"(kv) {
    for (let cursor; ; ) {
      const page = await kv.list({ cursor });
      await Promise.all(page.keys.map(({ name }) => kv.delete(name)));
      if (page.list_complete) return new Response();
      cursor = page.cursor;
    }
  },

  async "r2.purge"(bucket) {
    for (;;) {
      const { objects, truncated } = await bucket.list();
      if (objects.length > 0) await bucket.delete(objects.map(({ key }) => key));
      if (!truncated) return new Response();
    }
  },
  async "r2.get"(bucket, { key, request }) {
    const object = await bucket.get(key, { onlyIf: conditions(request.headers) });
    if (object === null) return missing();
    const headers = new Headers({ ETag: object.httpEtag, "Last-Modified": object.uploaded.toUTCString() });
    if (!object.body) return new Response(null, { status: 304, headers });
    headers.set("Content-Length", object.size);
    object.writeHttpMetadata(headers);
    return new Response(object.body, { headers, encodeBody: "manual" });
  },
  async "r2.put"(bucket, { key, request }) {
    // A body of unknown length cannot be streamed to R2.
    const body = request.headers.has("Content-Length") ? request.body : await request.arrayBuffer();
    const object = await bucket.put(key, body, { httpMetadata: request.headers });
    return Response.json(description(object));
  },
  async "r2.list"(bucket, { options }) {
    const { objects, truncated, cursor, delimitedPrefixes } = await bucket.list(options);
    return Response.json({ objects: objects.map(description), cursor: truncated ? cursor : "", delimitedPrefixes });
  },
  async "r2.delete"(bucket, { request }) {
    await bucket.delete(await request.json());
    return new Response();
  },

  async "d1.query"(database, { request }) {
    const statements = (await request.json()).map(({ sql, params }) => database.prepare(sql).bind(...params));
    return Response.json(await database.batch(statements));
  },
  async "d1.raw"(database, { request }) {
    const statements = (await request.json()).map(({ sql, params }) => database.prepare(sql).bind(...params));
    // `raw()` returns no metadata and cannot be in one transaction with other statements. `batch()` merges columns of
    // the same name. Both are based on this method, which is not documented.
    const texts = statements.map(({ statement }) => statement);
    const parameters = statements.map(({ params }) => params);
    const span = { setAttribute() {} };
    const session = database.withSession("first-primary");
    return Response.json(await session._sendOrThrow("/query", texts, parameters, "ROWS_AND_COLUMNS", span));
  },
};

/** Returns a key's entry in the list of keys, if the key exists. It is the first of all keys that start with it. */
async function listed(kv, key) {
  const { keys } = await kv.list({ prefix: key, limit: 1 });
  return keys.find(({ name }) => name === key);
}

/** Returns the conditions that Cloudflare's API supports. */
function conditions(headers) {
  const known = ["If-None-Match", "If-Modified-Since"].filter((name) => headers.has(name));
  return new Headers(known.map((name) => [name, headers.get(name)]));
}

function missing() {
  return new Response(null, { status: 404 });
}

function description({ key, size, etag, uploaded, httpMetadata, customMetadata, storageClass }) {
  return {
    key,
    size,
    etag,
    last_modified: uploaded,
    http_metadata: httpMetadata,
    custom_metadata: customMetadata,
    storage_class: storageClass,
  };
}

/**
 * What a customer's Worker offers to other Workers inside the platform, over RPC: through a dispatch namespace
 * (`env.DISPATCHER.get("user1")`) or a service binding, on the default entrypoint and on the entrypoint `UserWorker`.
 *
 * The methods do what the HTTP routes do, and count as they do. A failure rejects with an `Error` whose message says what
 * was wrong and what to do.
 */
export interface CustomerWorker {
  /**
   * Stores a file. Its type is a `Blob`'s own, else `application/octet-stream`. A stream goes to R2 in parts, because over
   * RPC it has no length; nothing is visible before its end.
   */
  uploadFile(key: string, content: string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream): Promise<StoredFile>;

  /** A file's bytes, or `null` if there is no such file. */
  getFile(key: string): Promise<ReadableStream | null>;

  /** Deletes a file, whether it is there or not. */
  deleteFile(key: string): Promise<{ success: true }>;

  /** All files, in the order of their keys. Throws if there are more than 10,000: list those in pages, over HTTP. */
  listFiles(): Promise<ListedFile[]>;

  /** Stores `JSON.stringify(value)`. Throws for a value that has no JSON, such as `undefined`. */
  setData(key: string, value: unknown): Promise<{ success: true; key: string }>;

  /** A value, or `null` if there is none. */
  getData(key: string): Promise<unknown>;

  /** Deletes a value, whether it is there or not. */
  deleteData(key: string): Promise<{ success: true }>;

  /** All values' keys, in order. Throws if there are more than 10,000. */
  listData(): Promise<ListedKey[]>;

  /** What the customer has stored, and done. */
  getStats(): Promise<Stats>;

  /**
   * Runs one SQL statement on the customer's database. Numbers and booleans may be bound as
   * `REAL`: write `CAST(? AS INTEGER)` where that shows.
   */
  queryDatabase(sql: string, params?: (string | number | boolean | null)[]): Promise<QueryResult>;
}

export interface StoredFile {
  success: true;
  key: string;
  /** Bytes. */
  size: number;
  /** R2's own, unquoted. */
  etag: string;
  contentType: string;
}

export interface ListedFile {
  key: string;
  /** Bytes. */
  size: number;
  /** RFC 3339, UTC. */
  uploaded: string;
  /** R2's own, unquoted. */
  etag: string;
}

export interface ListedKey {
  key: string;
  metadata?: Record<string, unknown>;
  /** Seconds since 1970. */
  expiration?: number;
}

export interface Stats {
  files: { count: number; totalSize: number };
  activity: {
    totalOperations: number;
    /** RFC 3339, UTC. */
    lastActivity: string | null;
    byOperation: Record<string, number>;
    windowDays: number;
  };
  storage: { kvKeys: number; r2Objects: number };
}

export interface QueryResult {
  results: Record<string, unknown>[];
  meta: { changes: number; last_row_id: number; rows_read: number; rows_written: number; duration: number };
}

"""requests, used as in its documentation."""

import gzip
from concurrent.futures import ThreadPoolExecutor

import requests
from checks import *
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

client = Client("requests", requests.__version__)
session = requests.Session()
session.headers.update(CUSTOMER)


def problem(response, status, code):
    expect_problem(response.status_code, response.headers["Content-Type"], response.content, status, code)


def stored(key, content):
    response = session.get(f"{URL}/files", params={"key": key})
    response.raise_for_status()
    equal(response.content, content)
    return response


def upload(key, path, content):
    with open(path, "rb") as opened:
        response = session.post(f"{URL}/files", data={"key": key}, files={"file": opened})
    response.raise_for_status()
    equal((response.json()["key"], response.json()["size"]), (key, len(content)))
    stored(key, content)


@client.check("`files=`: a small file")
def _():
    upload("requests/small", SMALL_FILE, SMALL)


@client.check("`files=`: an empty file")
def _():
    upload("requests/empty", EMPTY_FILE, b"")


@client.check("`files=`: 12 MiB")
def _():
    upload("requests/large", LARGE_FILE, LARGE)


@client.check("`files=`: a name and a key that are not ASCII")
def _():
    upload(f"requests/{AWKWARD_NAME}", AWKWARD_FILE, SMALL)


@client.check("`files=` with a name and a type of its own")
def _():
    files = {"file": ("report.csv", "some,data\n", "text/csv")}
    session.post(f"{URL}/files", data={"key": "requests/csv"}, files=files).raise_for_status()
    equal(stored("requests/csv", b"some,data\n").headers["Content-Type"], "text/csv")


@client.check("`data=` an open file, by PUT")
def _():
    with open(LARGE_FILE, "rb") as opened:
        response = session.put(f"{URL}/files", params={"key": "requests/put"}, data=opened)
    response.raise_for_status()
    stored("requests/put", LARGE)


@client.check("`data=` an empty file, by PUT")
def _():
    session.put(f"{URL}/files", params={"key": "requests/put-empty"}, data=b"").raise_for_status()
    stored("requests/put-empty", b"")


@client.check("`data=` a generator, by PUT: rejected without a length")
def _():
    pieces = (LARGE[at : at + 65536] for at in range(0, len(LARGE), 65536))
    problem(session.put(f"{URL}/files", params={"key": "requests/chunked"}, data=pieces), 411, "length_required")


@client.check("a form from a generator, without a length")
def _():
    head = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nrequests/form-chunked\r\n'
    head += b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    pieces = [head, *(LARGE[at : at + 65536] for at in range(0, len(LARGE), 65536)), b"\r\n--x--\r\n"]
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    session.post(f"{URL}/files", data=iter(pieces), headers=headers).raise_for_status()
    stored("requests/form-chunked", LARGE)


@client.check("a download with `stream=True`")
def _():
    with session.get(f"{URL}/files", params={"key": "requests/large"}, stream=True) as response:
        response.raise_for_status()
        equal(response.headers["Content-Length"], str(len(LARGE)))
        equal(b"".join(response.iter_content(chunk_size=8192)), LARGE)


@client.check("a range, and an interrupted download that continues with If-Range")
def _():
    params = {"key": "requests/large"}
    first = session.get(f"{URL}/files", params=params, headers={"Range": "bytes=0-999"})
    equal((first.status_code, first.content), (206, LARGE[:1000]))
    equal(first.headers["Content-Range"], f"bytes 0-999/{len(LARGE)}")
    headers = {"Range": "bytes=1000-", "If-Range": first.headers["ETag"]}
    rest = session.get(f"{URL}/files", params=params, headers=headers)
    equal((rest.status_code, first.content + rest.content), (206, LARGE))
    beyond = session.get(f"{URL}/files", params=params, headers={"Range": f"bytes={len(LARGE)}-"})
    equal(beyond.headers["Content-Range"], f"bytes */{len(LARGE)}")
    problem(beyond, 416, "range_not_satisfiable")


@client.check("conditional reads")
def _():
    params = {"key": "requests/small"}
    first = session.get(f"{URL}/files", params=params)
    again = session.get(f"{URL}/files", params=params, headers={"If-None-Match": first.headers["ETag"]})
    equal((again.status_code, again.content), (304, b""))
    since = session.get(f"{URL}/files", params=params, headers={"If-Modified-Since": first.headers["Last-Modified"]})
    equal((since.status_code, since.content), (304, b""))
    other = session.get(f"{URL}/files", params=params, headers={"If-Match": '"other"'})
    problem(other, 412, "precondition_failed")


@client.check("conditional writes")
def _():
    params, only_new = {"key": "requests/new"}, {"If-None-Match": "*"}
    session.delete(f"{URL}/files", params=params).raise_for_status()
    session.put(f"{URL}/files", params=params, data=b"1", headers=only_new).raise_for_status()
    problem(session.put(f"{URL}/files", params=params, data=b"2", headers=only_new), 412, "precondition_failed")
    stored("requests/new", b"1")


@client.check("HEAD")
def _():
    response = session.head(f"{URL}/files", params={"key": "requests/large"})
    equal((response.status_code, response.headers["Content-Length"], response.content), (200, str(len(LARGE)), b""))
    equal(session.head(f"{URL}/files", params={"key": "requests/absent"}).status_code, 404)


@client.check("a listing, page by page")
def _():
    keys = [f"requests/list/{number:02} é+&" for number in range(25)]
    for key in keys:
        session.put(f"{URL}/files", params={"key": key}, data=b"x").raise_for_status()
    listed, cursor = [], None
    while True:
        params = {"prefix": "requests/list/", "limit": 10, "cursor": cursor}
        page = session.get(f"{URL}/files", params=params).json()
        listed += [file["key"] for file in page["files"]]
        cursor = page.get("cursor")
        if not page["truncated"]:
            break
    equal(listed, keys)


@client.check("DELETE, and the 404 after it")
def _():
    session.put(f"{URL}/files", params={"key": "requests/gone"}, data=b"x").raise_for_status()
    equal(session.delete(f"{URL}/files", params={"key": "requests/gone"}).json(), {"success": True})
    problem(session.get(f"{URL}/files", params={"key": "requests/gone"}), 404, "file_not_found")


@client.check("`json=`: Unicode and large numbers")
def _():
    body = {"key": "requests/json", "value": JSON_VALUE, "metadata": {"by": "requests é"}}
    session.post(f"{URL}/data", json=body).raise_for_status()
    equal(session.get(f"{URL}/data", params={"key": "requests/json"}).json(), body)


@client.check("values, page by page")
def _():
    for number in range(25):
        session.post(f"{URL}/data", json={"key": f"requests/page/{number:02}", "value": number}).raise_for_status()
    listed, cursor = [], None
    while True:
        params = {"prefix": "requests/page/", "limit": 10, "cursor": cursor}
        page = session.get(f"{URL}/data", params=params).json()
        listed += [entry["key"] for entry in page["keys"]]
        cursor = page.get("cursor")
        if not page["truncated"]:
            break
    equal(listed, [f"requests/page/{number:02}" for number in range(25)])


@client.check("SQL: a query with parameters, and a batch")
def _():
    statements = [
        {"sql": "CREATE TABLE IF NOT EXISTS requests (id INTEGER PRIMARY KEY, name TEXT)"},
        {"sql": "DELETE FROM requests"},
        {"sql": "INSERT INTO requests (name) VALUES (?), (?)", "params": ["naïve 🦀", None]},
        {"sql": "SELECT name FROM requests ORDER BY id"},
    ]
    batch = session.post(f"{URL}/db/batch", json={"statements": statements})
    batch.raise_for_status()
    rows = [{"name": "naïve 🦀"}, {"name": None}]
    equal((len(batch.json()["batch"]), batch.json()["batch"][3]["results"]), (4, rows))
    query = {"sql": "SELECT name FROM requests WHERE name = ?", "params": ["naïve 🦀"]}
    equal(session.post(f"{URL}/db/query", json=query).json()["results"], rows[:1])
    problem(session.post(f"{URL}/db/query", json={"sql": "SELEC"}), 400, "sql_error")


@client.check("SQL that ends in a semicolon and a comment")
def _():
    response = session.post(f"{URL}/db/query", json={"sql": "SELECT 1 AS one; -- done"})
    equal((response.status_code, response.json().get("results")), (200, [{"one": 1}]))


@client.check("parts, uploaded in parallel from threads")
def _():
    params = {"key": "requests/parts"}
    params["uploadId"] = session.post(f"{URL}/files/uploads", params=params).json()["uploadId"]
    pieces = [LARGE[at : at + PART] for at in range(0, len(LARGE), PART)]

    def send(number):
        response = session.put(
            f"{URL}/files/uploads", params={**params, "partNumber": number}, data=pieces[number - 1]
        )
        response.raise_for_status()
        return response.json()

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(send, range(1, len(pieces) + 1)))
    session.post(f"{URL}/files/uploads/complete", params=params, json={"parts": parts}).raise_for_status()
    stored("requests/parts", LARGE)


@client.check("a stored gzip file is decoded by the client")
def _():
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    packed = gzip.compress(SMALL * 100)
    params = {"key": "requests/gzip"}
    session.put(f"{URL}/files", params=params, data=packed, headers=headers).raise_for_status()
    response = stored("requests/gzip", SMALL * 100)
    equal(response.headers["Content-Encoding"], "gzip")
    with session.get(f"{URL}/files", params=params, stream=True) as raw:
        equal(raw.raw.read(decode_content=False), packed)


@client.check("`Retry` with `status_forcelist`: large values at once, some replies are 503 `busy`")
def _():
    retrying = requests.Session()
    retry = Retry(total=10, status_forcelist=[503], allowed_methods=None, backoff_factor=0.1)
    retrying.mount("http://", HTTPAdapter(max_retries=retry))

    def send(number):
        body = {"key": f"requests/busy/{number}", "value": "x" * (2 << 20)}
        return retrying.post(f"{URL}/data", json=body, headers=CUSTOMER).status_code

    with ThreadPoolExecutor(6) as pool:
        equal(list(pool.map(send, range(6))), [200] * 6)


@client.check("a session keeps its connection")
def _():
    with requests.Session() as fresh:
        for _ in range(5):
            fresh.get(f"{URL}/", headers=CUSTOMER).raise_for_status()
            # A problem and a reply without a body must not close the connection either.
            fresh.get(f"{URL}/files", params={"key": "requests/absent"}, headers=CUSTOMER)
            fresh.head(f"{URL}/", headers=CUSTOMER)
        pools = fresh.get_adapter(URL).poolmanager.pools
        equal([pools[key].num_connections for key in pools.keys()], [1])


@client.check("a large upload is rejected while it is sent, and the problem is read")
def _():
    with open(LARGE_FILE, "rb") as opened:
        response = requests.put(f"{URL}/files", params={"key": "requests/nobody"}, data=opened)
    problem(response, 400, "missing_user_id")


@client.check("no redirects")
def _():
    response = session.get(f"{URL}/")
    equal((response.status_code, response.history), (200, []))
    problem(session.get(f"{URL}/files/"), 404, "not_found")

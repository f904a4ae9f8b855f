"""httpx, with its synchronous and asynchronous clients, directly and through nginx with HTTP/2."""

import asyncio
import io
import ssl

import httpx
from checks import *

client = Client("httpx", httpx.__version__)
http = httpx.Client(base_url=URL, headers=CUSTOMER)


def problem(response, status, code):
    expect_problem(response.status_code, response.headers["Content-Type"], response.content, status, code)


def stored(key, content):
    response = http.get("/files", params={"key": key}).raise_for_status()
    equal(response.content, content)


@client.check("`files=`: a small, an empty and a 12 MiB file")
def _():
    for key, path, content in [
        ("httpx/small", SMALL_FILE, SMALL),
        ("httpx/empty", EMPTY_FILE, b""),
        ("httpx/large", LARGE_FILE, LARGE),
    ]:
        with open(path, "rb") as opened:
            response = http.post("/files", data={"key": key}, files={"file": opened}).raise_for_status()
        equal(response.json()["size"], len(content))
        stored(key, content)


@client.check("`files=`: a name and a key that are not ASCII")
def _():
    with open(AWKWARD_FILE, "rb") as opened:
        http.post("/files", data={"key": f"httpx/{AWKWARD_NAME}"}, files={"file": opened}).raise_for_status()
    stored(f"httpx/{AWKWARD_NAME}", SMALL)


@client.check("`files=` without a length: the form is sent in chunks")
def _():
    class Pipe(io.RawIOBase):
        """A file of unknown length that can be read once."""

        def __init__(self):
            self.content = io.BytesIO(LARGE)

        def readable(self):
            return True

        def seekable(self):
            return False

        def read(self, size=-1):
            return self.content.read(size)

    response = http.post("/files", data={"key": "httpx/pipe"}, files={"file": ("pipe", Pipe())}).raise_for_status()
    equal(response.request.headers.get("Transfer-Encoding"), "chunked")
    stored("httpx/pipe", LARGE)


@client.check("`content=` bytes, by PUT")
def _():
    http.put("/files", params={"key": "httpx/put"}, content=LARGE).raise_for_status()
    stored("httpx/put", LARGE)


@client.check("`content=` a generator, by PUT: rejected without a length")
def _():
    pieces = (LARGE[at : at + 65536] for at in range(0, len(LARGE), 65536))
    problem(http.put("/files", params={"key": "httpx/chunked"}, content=pieces), 411, "length_required")


@client.check("`content=` a generator with Content-Length, by PUT")
def _():
    pieces = (LARGE[at : at + 65536] for at in range(0, len(LARGE), 65536))
    headers = {"Content-Length": str(len(LARGE))}
    http.put("/files", params={"key": "httpx/sized"}, content=pieces, headers=headers).raise_for_status()
    stored("httpx/sized", LARGE)


@client.check("a streamed download")
def _():
    with http.stream("GET", "/files", params={"key": "httpx/large"}) as response:
        equal(b"".join(response.iter_bytes()), LARGE)


@client.check("ranges, conditions, HEAD, DELETE")
def _():
    params = {"key": "httpx/large"}
    part = http.get("/files", params=params, headers={"Range": "bytes=-1000"})
    equal((part.status_code, part.content), (206, LARGE[-1000:]))
    head = http.head("/files", params=params).raise_for_status()
    equal(head.headers["Content-Length"], str(len(LARGE)))
    again = http.get("/files", params=params, headers={"If-None-Match": head.headers["ETag"]})
    equal((again.status_code, again.content), (304, b""))
    http.delete("/files", params=params).raise_for_status()
    problem(http.get("/files", params=params), 404, "file_not_found")


@client.check("`json=`: Unicode and large numbers")
def _():
    body = {"key": "httpx/json", "value": JSON_VALUE}
    http.post("/data", json=body).raise_for_status()
    equal(http.get("/data", params={"key": "httpx/json"}).json(), body)


@client.check("SQL: a query and a batch")
def _():
    one = http.post("/db/query", json={"sql": "SELECT ? AS a", "params": ["é"]}).raise_for_status()
    equal(one.json()["results"], [{"a": "é"}])
    batch = http.post("/db/batch", json={"statements": [{"sql": "SELECT 1 AS a"}, {"sql": "SELECT 2 AS a"}]})
    equal([result["results"] for result in batch.json()["batch"]], [[{"a": 1}], [{"a": 2}]])


@client.check("`AsyncClient`: 100 requests at once")
def _():
    async def run():
        async with httpx.AsyncClient(base_url=URL, headers=CUSTOMER, timeout=60) as http:
            writes = (http.put("/files", params={"key": f"httpx/at-once/{n}"}, content=b"%d" % n) for n in range(100))
            for response in await asyncio.gather(*writes):
                response.raise_for_status()
            reads = (http.get("/files", params={"key": f"httpx/at-once/{n}"}) for n in range(100))
            equal([read.content for read in await asyncio.gather(*reads)], [b"%d" % n for n in range(100)])

    asyncio.run(run())


async def upload_in_parts(http, key):
    params = {"key": key}
    params["uploadId"] = (await http.post("/files/uploads", params=params)).json()["uploadId"]
    pieces = [LARGE[at : at + PART] for at in range(0, len(LARGE), PART)]

    async def send(number, piece):
        response = await http.put("/files/uploads", params={**params, "partNumber": number}, content=piece)
        return response.raise_for_status().json()

    parts = await asyncio.gather(*(send(number, piece) for number, piece in enumerate(pieces, 1)))
    complete = await http.post("/files/uploads/complete", params=params, json={"parts": parts})
    complete.raise_for_status()


@client.check("`AsyncClient`: parts, uploaded in parallel")
def _():
    async def run():
        async with httpx.AsyncClient(base_url=URL, headers=CUSTOMER, timeout=60) as http:
            await upload_in_parts(http, "httpx/parts")

    asyncio.run(run())
    stored("httpx/parts", LARGE)


proxied = Client("httpx, HTTP/2, through nginx", f"{httpx.__version__}, {PROXY_VERSION}")
trusted = ssl.create_default_context(cafile=PROXY_CERTIFICATE)


@proxied.check("a form, a PUT and a download of 12 MiB")
def _():
    with httpx.Client(base_url=PROXY_URL, headers=CUSTOMER, http2=True, verify=trusted, timeout=60) as http:
        with open(LARGE_FILE, "rb") as opened:
            form = http.post("/files", data={"key": "httpx/h2"}, files={"file": opened}).raise_for_status()
        equal((form.http_version, form.json()["size"]), ("HTTP/2", len(LARGE)))
        http.put("/files", params={"key": "httpx/h2-put"}, content=LARGE).raise_for_status()
        for key in ["httpx/h2", "httpx/h2-put"]:
            equal(http.get("/files", params={"key": key}).raise_for_status().content, LARGE)


@proxied.check("50 requests at once on one connection, parts in parallel")
def _():
    async def run():
        limits = httpx.Limits(max_connections=1)
        options = {"http2": True, "verify": trusted, "timeout": 60, "limits": limits}
        async with httpx.AsyncClient(base_url=PROXY_URL, headers=CUSTOMER, **options) as http:
            replies = await asyncio.gather(*(http.get("/") for _ in range(50)))
            equal({(reply.status_code, reply.http_version) for reply in replies}, {(200, "HTTP/2")})
            await upload_in_parts(http, "httpx/h2-parts")

    asyncio.run(run())
    stored("httpx/h2-parts", LARGE)


@proxied.check("a request is rejected before the upload has ended")
def _():
    with httpx.Client(base_url=PROXY_URL, http2=True, verify=trusted, timeout=60) as http:
        problem(http.put("/files", params={"key": "httpx/nobody"}, content=LARGE), 400, "missing_user_id")

"""curl with its defaults, directly and through nginx with HTTP/2."""

import gzip
import subprocess
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from checks import *

VERSION = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
client = Client("curl", VERSION)


def curl(path, *arguments, customer=True, url=URL, stdin=None):
    """Runs curl, and returns the last reply: redirects and 100 Continue come before it."""
    body, headers = FOLDER / "body", FOLDER / "headers"
    body.unlink(missing_ok=True)
    command = ["curl", "--silent", "--show-error", "--verbose", "--output", body, "--dump-header", headers]
    if customer:
        command += ["--header", "X-User-ID: clients"]
    command += ["--write-out", "%{http_code} %{content_type}", *arguments, url + path]
    completed = subprocess.run(command, input=stdin, capture_output=True)
    log = completed.stderr.decode()
    assert completed.returncode == 0, log[-500:]
    status, _, content_type = completed.stdout.decode().partition(" ")
    fields = [line.split(": ", 1) for line in headers.read_text().splitlines() if ": " in line]
    content = body.read_bytes() if body.exists() else b""
    return SimpleNamespace(
        status=int(status),
        content_type=content_type,
        headers={name.lower(): value for name, value in fields},
        body=content,
        log=log,
    )


def key(name):
    return ("--url-query", f"key=curl/{name}")


def succeed(reply):
    assert 200 <= reply.status < 300, f"{reply.status}: {reply.body[:300]}"
    return reply


def stored(name, content):
    equal(succeed(curl("/files", *key(name))).body, content)


def problem(reply, status, code):
    expect_problem(reply.status, reply.content_type, reply.body, status, code)


@client.check("`-F`: a small, an empty and a 12 MiB file")
def _():
    for name, path, content in [
        ("small", SMALL_FILE, SMALL),
        ("empty", EMPTY_FILE, b""),
        ("large", LARGE_FILE, LARGE),
    ]:
        reply = succeed(curl("/files", "-F", f"key=curl/{name}", "-F", f"file=@{path}"))
        equal(json.loads(reply.body)["size"], len(content))
        stored(name, content)


@client.check("`-F`: a name and a key that are not ASCII")
def _():
    succeed(curl("/files", "-F", f"key=curl/{AWKWARD_NAME}", "-F", f"file=@{AWKWARD_FILE}"))
    stored(AWKWARD_NAME, SMALL)


@client.check("`-F` from standard input: a form without a length")
def _():
    succeed(curl("/files", "-F", "key=curl/pipe", "-F", "file=@-;filename=pipe", stdin=LARGE))
    stored("pipe", LARGE)


@client.check("`-T` a file, which waits for 100 Continue")
def _():
    reply = succeed(curl("/files", *key("put"), "-T", LARGE_FILE))
    assert "HTTP/1.1 100 Continue" in reply.log, reply.log[-1000:]
    stored("put", LARGE)


@client.check("`--data-binary` 12 MiB, which waits for 100 Continue")
def _():
    reply = succeed(curl("/files", *key("data"), "-X", "PUT", "--data-binary", f"@{LARGE_FILE}"))
    assert "HTTP/1.1 100 Continue" in reply.log, reply.log[-1000:]
    stored("data", LARGE)


@client.check("`-T -`: a stream without a length is rejected")
def _():
    problem(curl("/files", *key("chunked"), "-T", "-", stdin=LARGE), 411, "length_required")


@client.check("a request is rejected before its body is sent")
def _():
    problem(curl("/files", *key("nobody"), "-T", LARGE_FILE, customer=False), 400, "missing_user_id")


@client.check("`-r`, and `-C -` after an interrupted download")
def _():
    part = curl("/files", *key("large"), "-r", "100-199")
    equal((part.status, part.body), (206, LARGE[100:200]))
    partial = file("partial", LARGE[:1000])
    command = ["curl", "-sS", "-H", "X-User-ID: clients", "-C", "-", "-o", partial, *key("large"), f"{URL}/files"]
    subprocess.run(command, check=True, capture_output=True)
    equal(partial.read_bytes(), LARGE)


@client.check("`--etag-save`, `--etag-compare`, `-z`")
def _():
    etag = FOLDER / "etag"
    succeed(curl("/files", *key("small"), "--etag-save", etag))
    equal(curl("/files", *key("small"), "--etag-compare", etag).status, 304)
    copy = FOLDER / "copy"
    command = ["curl", "-sS", "-R", "-H", "X-User-ID: clients", *key("small"), f"{URL}/files", "-o", copy]
    subprocess.run(command, check=True, capture_output=True)
    equal(curl("/files", *key("small"), "-z", copy).status, 304)
    equal(curl("/files", *key("small"), "-z", "1 Jan 2020").status, 200)


@client.check("`--head`, `-X DELETE`")
def _():
    head = succeed(curl("/files", *key("large"), "--head"))
    equal(head.headers["content-length"], str(len(LARGE)))
    equal(json.loads(succeed(curl("/files", *key("large"), "-X", "DELETE")).body), {"success": True})
    problem(curl("/files", *key("large")), 404, "file_not_found")


@client.check("`--json`: Unicode and large numbers come back byte for byte")
def _():
    value = '{"text": "naïve 漢字 🦀", "integer": 12345678901234567890, "real": 1.0e5}'
    succeed(curl("/data", "--json", f'{{"key": "curl/json", "value": {value}}}'))
    equal(curl("/data", *key("json")).body.decode(), f'{{"key":"curl/json","value":{value}}}')


@client.check("`-d` alone, which sends the type of a form: rejected")
def _():
    problem(curl("/data", "-d", '{"key": "curl/d", "value": 1}'), 415, "unsupported_media_type")


@client.check("SQL")
def _():
    reply = succeed(curl("/db/query", "--json", '{"sql": "SELECT ? AS a", "params": ["é"]}'))
    equal(json.loads(reply.body)["results"], [{"a": "é"}])


@client.check("`--compressed`: a stored gzip file, a page, an error")
def _():
    packed = file("packed.gz", gzip.compress(SMALL * 100))
    succeed(curl("/files", *key("gzip"), "-T", packed, "-H", "Content-Encoding: gzip"))
    equal(curl("/files", *key("gzip"), "--compressed").body, SMALL * 100)
    equal(curl("/files", *key("gzip")).body, packed.read_bytes())
    succeed(curl("/files", "--url-query", "prefix=curl/", "--compressed"))
    problem(curl("/files", *key("absent"), "--compressed"), 404, "file_not_found")


@client.check("several URLs on one connection, with and without bodies")
def _():
    url = f"{URL}/files?key=curl/small"
    command = ["curl", "-sS", "-v", "-H", "X-User-ID: clients", url, "-o", "/dev/null", f"{URL}/nothing"]
    completed = subprocess.run([*command, "-o", "/dev/null", url, "-o", "/dev/null"], capture_output=True, text=True)
    equal((completed.returncode, completed.stderr.count("Connected to")), (0, 1))


@client.check("parts, uploaded in parallel by processes")
def _():
    upload = json.loads(succeed(curl("/files/uploads", *key("parts"), "-X", "POST")).body)["uploadId"]
    of_upload = [*key("parts"), "--url-query", f"uploadId={upload}"]
    pieces = [file(f"part-{at}", LARGE[at : at + PART]) for at in range(0, len(LARGE), PART)]

    def send(number):
        command = ["curl", "-sS", "--fail", "-H", "X-User-ID: clients", "-T", pieces[number - 1], *of_upload]
        command += ["--url-query", f"partNumber={number}", f"{URL}/files/uploads"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    with ThreadPoolExecutor(3) as pool:
        parts = list(pool.map(send, range(1, len(pieces) + 1)))
    succeed(curl("/files/uploads/complete", *of_upload, "--json", json.dumps({"parts": parts})))
    stored("parts", LARGE)


def preflight(method, headers):
    request = ["-X", "OPTIONS", "-H", f"Origin: {ORIGIN}", "-H", f"Access-Control-Request-Method: {method}"]
    reply = curl("/files", *request, "-H", f"Access-Control-Request-Headers: {headers}", customer=False)
    equal((reply.status, reply.headers["access-control-allow-origin"]), (204, ORIGIN))
    assert method in reply.headers["access-control-allow-methods"], reply.headers
    allowed = reply.headers["access-control-allow-headers"].lower().replace(" ", "").split(",")
    equal([name for name in headers.split(",") if name not in allowed], [])


@client.check("the preflight of a browser's `fetch` with a token")
def _():
    preflight("PUT", "authorization,content-type,if-match,if-none-match,range,x-user-id")


@client.check("the preflight of Uppy and Dropzone, with ALLOWED_HEADERS")
def _():
    preflight("POST", "authorization,cache-control,x-requested-with,x-user-id")


@client.check("the CORS headers of a reply")
def _():
    reply = succeed(curl("/files", *key("small"), "-H", f"Origin: {ORIGIN}"))
    equal(reply.headers["access-control-allow-origin"], ORIGIN)
    assert "etag" in reply.headers["access-control-expose-headers"].lower(), reply.headers


@client.check("`-L`: there are no redirects")
def _():
    reply = succeed(curl("/", "-L"))
    equal("location" in reply.headers, False)


proxied = Client("curl, HTTP/2, through nginx", f"{VERSION}, {PROXY_VERSION}")
SECURE = ("--http2", "--cacert", PROXY_CERTIFICATE)


def proxied_curl(path, *arguments, **options):
    reply = curl(path, *SECURE, *arguments, url=PROXY_URL, **options)
    assert "using HTTP/2" in reply.log, reply.log[-1000:]
    return reply


@proxied.check("`-F` and `-T` 12 MiB, a download, a range")
def _():
    succeed(proxied_curl("/files", "-F", "key=curl/h2", "-F", f"file=@{LARGE_FILE}"))
    succeed(proxied_curl("/files", *key("h2-put"), "-T", LARGE_FILE))
    for name in ["h2", "h2-put"]:
        equal(succeed(proxied_curl("/files", *key(name))).body, LARGE)
    equal(proxied_curl("/files", *key("h2"), "-r", "5-9").body, LARGE[5:10])


@proxied.check("`-T -`: nginx adds the missing length")
def _():
    succeed(proxied_curl("/files", *key("h2-stream"), "-T", "-", stdin=LARGE))
    stored("h2-stream", LARGE)


@proxied.check("conditions, HEAD, a problem")
def _():
    etag = FOLDER / "etag"
    succeed(proxied_curl("/files", *key("h2"), "--etag-save", etag))
    equal(proxied_curl("/files", *key("h2"), "--etag-compare", etag).status, 304)
    equal(proxied_curl("/files", *key("h2"), "--head").headers["content-length"], str(len(LARGE)))
    problem(proxied_curl("/files", *key("h2-absent")), 404, "file_not_found")
    problem(proxied_curl("/files", *key("h2-nobody"), "-T", LARGE_FILE, customer=False), 400, "missing_user_id")


@proxied.check("`--compressed`: nginx compresses JSON, but not a gzip file")
def _():
    listed = proxied_curl("/files", "--url-query", "prefix=curl/", "--compressed")
    equal((listed.status, listed.headers["content-encoding"]), (200, "gzip"))
    assert json.loads(listed.body)["files"], listed.body
    equal(proxied_curl("/files", *key("gzip"), "--compressed").body, SMALL * 100)

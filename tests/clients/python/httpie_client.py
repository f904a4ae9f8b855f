"""HTTPie: it reads standard input, sends JSON by default, and prints the reply."""

import subprocess
import sys
from importlib.metadata import version

from checks import *

client = Client("HTTPie", version("httpie"))
HTTP = Path(sys.executable).with_name("http")


def http(*arguments, stdin=None, output=None):
    """Runs `http`, and returns its exit code and its output, which is only the body without a terminal."""
    settings = {**os.environ, "HTTPIE_CONFIG_DIR": str(FOLDER / "httpie")}
    options = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
    command = [HTTP, *([] if stdin is not None else ["--ignore-stdin"]), "--check-status", *arguments]
    completed = subprocess.run(command, capture_output=True, env=settings, **options)
    return completed.returncode, completed.stdout


def succeed(*arguments, **options):
    code, printed = http(*arguments, **options)
    equal((code, b"" if code == 0 else printed), (0, b""))
    return printed


def stored(key, content):
    equal(succeed(f"{URL}/files", f"key=={key}", "X-User-ID:clients"), content)


@client.check("`--form` with a file: small, empty, 12 MiB")
def _():
    for key, path, content in [
        ("httpie/small", SMALL_FILE, SMALL),
        ("httpie/empty", EMPTY_FILE, b""),
        ("httpie/large", LARGE_FILE, LARGE),
    ]:
        reply = succeed("--form", f"{URL}/files", "X-User-ID:clients", f"key={key}", f"file@{path}")
        equal(json.loads(reply)["size"], len(content))
        stored(key, content)


@client.check("`--form`: a name and a key that are not ASCII")
def _():
    key = f"httpie/{AWKWARD_NAME}"
    succeed("--form", f"{URL}/files", "X-User-ID:clients", f"key={key}", f"file@{AWKWARD_FILE}")
    stored(key, SMALL)


@client.check("`--form` with the file before its key")
def _():
    succeed("--form", f"{URL}/files", "X-User-ID:clients", f"file@{SMALL_FILE}", "key=httpie/order")
    stored("httpie/order", SMALL)


@client.check("`--multipart --chunked`: a form without a length")
def _():
    options = ["--multipart", "--chunked"]
    succeed(*options, f"{URL}/files", "X-User-ID:clients", "key=httpie/chunked", f"file@{LARGE_FILE}")
    stored("httpie/chunked", LARGE)


@client.check("PUT of standard input")
def _():
    request = ["PUT", f"{URL}/files", "key==httpie/stdin", "X-User-ID:clients"]
    succeed(*request, "Content-Type:application/octet-stream", stdin=LARGE)
    stored("httpie/stdin", LARGE)


@client.check("PUT of a file with `@`, which derives the type from the name")
def _():
    reply = succeed("PUT", f"{URL}/files", "key==httpie/put", "X-User-ID:clients", f"@{SMALL_FILE}")
    equal(json.loads(reply)["contentType"], "text/plain")
    stored("httpie/put", SMALL)


@client.check("`--chunked` PUT: rejected without a length, exit code 4")
def _():
    request = ["--chunked", "PUT", f"{URL}/files", "key==httpie/no", "X-User-ID:clients", f"@{LARGE_FILE}"]
    code, printed = http(*request)
    equal((code, json.loads(printed)["code"]), (4, "length_required"))


@client.check("JSON: `=` and `:=`, Unicode and large numbers")
def _():
    value = "value:=" + json.dumps(JSON_VALUE, ensure_ascii=False)
    succeed(f"{URL}/data", "X-User-ID:clients", "key=httpie/json", value, "metadata:={\"by\": \"é\"}")
    expected = {"key": "httpie/json", "value": JSON_VALUE, "metadata": {"by": "é"}}
    equal(json.loads(succeed(f"{URL}/data", "key==httpie/json", "X-User-ID:clients")), expected)


@client.check("SQL with nested JSON: `params[]=`, `statements[0][sql]=`")
def _():
    query = succeed(f"{URL}/db/query", "X-User-ID:clients", "sql=SELECT ? AS a, ? AS b", "params[]=é", "params[]:=2")
    equal(json.loads(query)["results"], [{"a": "é", "b": 2}])
    statements = ["statements[0][sql]=SELECT 1 AS a", "statements[1][sql]=SELECT 2 AS a"]
    batch = json.loads(succeed(f"{URL}/db/batch", "X-User-ID:clients", *statements))
    equal([result["results"] for result in batch["batch"]], [[{"a": 1}], [{"a": 2}]])


@client.check("`--download`, and `--continue` after an interruption")
def _():
    partial = file("httpie-partial", LARGE[:1000])
    request = [f"{URL}/files", "key==httpie/large", "X-User-ID:clients"]
    succeed("--download", "--continue", "--output", partial, *request)
    equal(partial.read_bytes(), LARGE)
    whole = FOLDER / "httpie-whole"
    succeed("--download", "--output", whole, *request)
    equal(whole.read_bytes(), LARGE)


@client.check("HEAD, DELETE, a listing")
def _():
    head = succeed("--headers", "HEAD", f"{URL}/files", "key==httpie/large", "X-User-ID:clients").decode()
    assert f"content-length: {len(LARGE)}" in head.lower(), head
    listed = json.loads(succeed(f"{URL}/files", "prefix==httpie/", "limit==2", "X-User-ID:clients"))
    equal((len(listed["files"]), listed["truncated"]), (2, True))
    equal(json.loads(succeed("DELETE", f"{URL}/files", "key==httpie/large", "X-User-ID:clients")), {"success": True})


@client.check("a problem is shown, exit code 4")
def _():
    code, printed = http(f"{URL}/files", "key==httpie/absent", "X-User-ID:clients")
    equal((code, json.loads(printed)["code"]), (4, "file_not_found"))
    code, printed = http(f"{URL}/files")
    equal((code, json.loads(printed)["code"]), (4, "missing_user_id"))

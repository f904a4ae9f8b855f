"""Cloudflare's SDK for Python against the local API, used as in its README and examples."""

import time

import cloudflare
import httpx
from checks import *
from cloudflare import Cloudflare

client = Client("cloudflare (PyPI)", cloudflare.__version__)
# The token comes from CLOUDFLARE_API_TOKEN.
cf = Cloudflare(base_url=os.environ["CLOUDFLARE_API_BASE_URL"])
ACCOUNT = os.environ["CLOUDFLARE_ACCOUNT_ID"]
SOURCE = "export default { fetch(request, env) { return new Response(`${env.GREETING} ${env.SECRET ?? '-'}`) } }"


def expect_error(kind, code, act):
    """Expects an exception of the SDK with one of Cloudflare's error codes."""
    try:
        act()
    except kind as error:
        equal([error["code"] for error in error.body["errors"]], [code])
    else:
        raise AssertionError("the request was not rejected")


state = {}


@client.check("KV: create, get, list and rename a namespace")
def _():
    namespaces = cf.kv.namespaces
    created = [namespaces.create(account_id=ACCOUNT, title=f"pypi-{number}") for number in range(3)]
    state["kv"] = created[0].id
    equal(namespaces.get(created[0].id, account_id=ACCOUNT).title, "pypi-0")
    # With two per page, the SDK fetches several pages.
    listed = {namespace.title for namespace in namespaces.list(account_id=ACCOUNT, per_page=2)}
    assert {f"pypi-{number}" for number in range(3)} <= listed, listed
    equal(namespaces.update(created[2].id, account_id=ACCOUNT, title="pypi-renamed").title, "pypi-renamed")
    expect_error(cloudflare.BadRequestError, 10014, lambda: namespaces.create(account_id=ACCOUNT, title="pypi-0"))


def kv():
    return {"account_id": ACCOUNT, "namespace_id": state["kv"]}


@client.check("KV: put, get and delete values, with metadata and an expiration")
def _():
    values = cf.kv.namespaces.values
    expires = int(time.time()) + 3600
    values.update("greeting é/%", **kv(), value="hello é".encode(), metadata=json.dumps({"by": "é"}), expiration=expires)
    received = values.get("greeting é/%", **kv())
    equal((received.read().decode(), received.headers.get("expiration")), ("hello é", str(expires)))
    equal(cf.kv.namespaces.metadata.get("greeting é/%", **kv()), {"by": "é"})
    values.update("bytes", **kv(), value=("bytes", LARGE))
    equal(values.get("bytes", **kv()).read(), LARGE)
    values.delete("bytes", **kv())
    expect_error(cloudflare.NotFoundError, 10009, lambda: values.get("bytes", **kv()))


@client.check("KV: put, get and delete many")
def _():
    namespaces = cf.kv.namespaces
    body = [{"key": f"bulk/{number:03}", "value": f'{{"n": {number}}}', "metadata": {"n": number}} for number in range(40)]
    put = namespaces.bulk_update(state["kv"], account_id=ACCOUNT, body=body)
    equal(put.successful_key_count, 40)
    received = namespaces.bulk_get(state["kv"], account_id=ACCOUNT, keys=["bulk/001", "absent"])
    equal(received.values, {"bulk/001": '{"n": 1}', "absent": None})
    namespaces.bulk_delete(state["kv"], account_id=ACCOUNT, body=["bulk/039"])
    received = namespaces.bulk_get(state["kv"], account_id=ACCOUNT, keys=["bulk/039"])
    equal(received.values, {"bulk/039": None})


@client.check("KV: get many as JSON, with metadata")
def _():
    received = cf.kv.namespaces.bulk_get(
        state["kv"], account_id=ACCOUNT, keys=["bulk/001"], type="json", with_metadata=True
    )
    one = received.values["bulk/001"]
    equal((one.value, one.metadata), ({"n": 1}, {"n": 1}))


@client.check("KV: a read of more than 100 keys at once is rejected")
def _():
    keys = [f"bulk/{number:03}" for number in range(101)]
    try:
        cf.kv.namespaces.bulk_get(state["kv"], account_id=ACCOUNT, keys=keys)
    except cloudflare.BadRequestError:
        return
    raise AssertionError("the request was not rejected")


@client.check("KV: list keys, page by page")
def _():
    pages = cf.kv.namespaces.keys.list(state["kv"], account_id=ACCOUNT, prefix="bulk/", limit=10)
    keys = list(pages)
    equal([key.name for key in keys], [f"bulk/{number:03}" for number in range(39)])
    equal(keys[7].metadata, {"n": 7})


@client.check("R2: create, get, list and delete a bucket")
def _():
    buckets = cf.r2.buckets
    equal(buckets.create(account_id=ACCOUNT, name="pypi-bucket").name, "pypi-bucket")
    assert buckets.get("pypi-bucket", account_id=ACCOUNT).creation_date
    listed = buckets.list(account_id=ACCOUNT, name_contains="pypi").buckets
    equal([bucket.name for bucket in listed], ["pypi-bucket"])
    buckets.create(account_id=ACCOUNT, name="pypi-other")
    buckets.delete("pypi-other", account_id=ACCOUNT)
    expect_error(cloudflare.NotFoundError, 10006, lambda: buckets.get("pypi-other", account_id=ACCOUNT))
    expect_error(cloudflare.ConflictError, 10004, lambda: buckets.create(account_id=ACCOUNT, name="pypi-bucket"))


@client.check("R2: put, list, get and delete objects; a bucket with objects is not deleted")
def _():
    objects, bucket = cf.r2.buckets.objects, {"account_id": ACCOUNT, "bucket_name": "pypi-bucket"}
    objects.upload("folder/é +.bin", LARGE, **bucket)
    received = objects.get("folder/é +.bin", **bucket)
    equal((received.read(), received.headers["content-type"]), (LARGE, "application/octet-stream"))
    listed = [entry.key for entry in objects.list("pypi-bucket", account_id=ACCOUNT, prefix="folder/")]
    equal(listed, ["folder/é +.bin"])
    etag = received.headers["etag"]
    try:
        objects.get("folder/é +.bin", **bucket, if_none_match=etag)
    except cloudflare.APIStatusError as error:
        equal(error.status_code, 304)
    else:
        raise AssertionError("the SDK did not raise an exception for 304")
    expect_error(cloudflare.ConflictError, 10008, lambda: cf.r2.buckets.delete("pypi-bucket", account_id=ACCOUNT))
    objects.delete("folder/é +.bin", **bucket)
    expect_error(cloudflare.NotFoundError, 10007, lambda: objects.get("folder/é +.bin", **bucket))
    cf.r2.buckets.delete("pypi-bucket", account_id=ACCOUNT)


@client.check("D1: create, list, get; a query, parameters, an error")
def _():
    databases = cf.d1.database
    created = databases.create(account_id=ACCOUNT, name="pypi-database")
    state["d1"] = created.uuid
    equal([database.uuid for database in databases.list(account_id=ACCOUNT, name="pypi-database")], [created.uuid])
    equal(databases.get(created.uuid, account_id=ACCOUNT).name, "pypi-database")
    databases.query(created.uuid, account_id=ACCOUNT, sql="CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    page = databases.query(created.uuid, account_id=ACCOUNT, sql="INSERT INTO notes (text) VALUES (?)", params=["é"])
    equal((page.result[0].success, page.result[0].meta.changes), (True, 1.0))
    page = databases.query(created.uuid, account_id=ACCOUNT, sql="SELECT * FROM notes")
    equal(page.result[0].results, [{"id": 1, "text": "é"}])
    expect_error(cloudflare.BadRequestError, 7500, lambda: databases.query(created.uuid, account_id=ACCOUNT, sql="SELEC"))


@client.check("D1: several statements in one, a batch, `raw`")
def _():
    databases, at = cf.d1.database, {"account_id": ACCOUNT}
    page = databases.query(state["d1"], **at, sql="SELECT 1 AS a; SELECT 2 AS a")
    equal([result.results for result in page.result], [[{"a": 1}], [{"a": 2}]])
    batch = [{"sql": "INSERT INTO notes (text) VALUES (?)", "params": [text]} for text in "xy"]
    page = databases.query(state["d1"], **at, batch=batch)
    equal([result.meta.changes for result in page.result], [1, 1])
    raw = databases.raw(state["d1"], **at, sql="SELECT id, text FROM notes WHERE id > ?", params=["1"])
    rows = raw.result[0].results
    equal((rows.columns, rows.rows), (["id", "text"], [[2, "x"], [3, "y"]]))
    raw = databases.raw(state["d1"], **at, sql="DELETE FROM notes")
    equal(raw.result[0].meta.changes, 3)


@client.check("D1: delete")
def _():
    cf.d1.database.delete(state["d1"], account_id=ACCOUNT)
    expect_error(cloudflare.NotFoundError, 7404, lambda: cf.d1.database.get(state["d1"], account_id=ACCOUNT))


@client.check("queues: create, list, get, delete")
def _():
    created = cf.queues.create(account_id=ACCOUNT, queue_name="pypi-queue")
    assert created.queue_id in [queue.queue_id for queue in cf.queues.list(account_id=ACCOUNT)]
    equal(cf.queues.get(created.queue_id, account_id=ACCOUNT).queue_name, "pypi-queue")
    cf.queues.delete(created.queue_id, account_id=ACCOUNT)
    assert created.queue_id not in [queue.queue_id for queue in cf.queues.list(account_id=ACCOUNT)]


dispatch = cf.workers_for_platforms.dispatch.namespaces
HERE = {"account_id": ACCOUNT, "dispatch_namespace": "customers"}
NAME = "pypi-script"


def call_worker():
    # An upload starts a process, which may take longer than httpx's default timeout of five seconds on a busy machine.
    reply = httpx.get(URL, headers={"X-User-ID": NAME}, timeout=60)
    return reply.status_code, reply.text


@client.check("dispatch namespaces: create, list, get, delete")
def _():
    dispatch.create(account_id=ACCOUNT, name="pypi-namespace")
    listed = [namespace.namespace_name for namespace in dispatch.list(account_id=ACCOUNT)]
    assert {"customers", "pypi-namespace"} <= set(listed), listed
    equal(dispatch.get("pypi-namespace", account_id=ACCOUNT).namespace_name, "pypi-namespace")
    dispatch.delete("pypi-namespace", account_id=ACCOUNT)
    expect_error(cloudflare.NotFoundError, 100119, lambda: dispatch.get("pypi-namespace", account_id=ACCOUNT))


@client.check("scripts: upload, with metadata and files; the Worker replies")
def _():
    bindings = [
        {"type": "plain_text", "name": "GREETING", "text": "hello"},
        {"type": "kv_namespace", "name": "STORE", "namespace_id": state["kv"]},
    ]
    metadata = {"main_module": "index.js", "bindings": bindings, "compatibility_date": "2026-01-01", "tags": ["pypi"]}
    module = ("index.js", SOURCE.encode(), "application/javascript+module")
    uploaded = dispatch.scripts.update(NAME, **HERE, metadata=metadata, files=[module])
    equal((uploaded.id, call_worker()), (NAME, (200, "hello -")))
    equal(dispatch.scripts.get(NAME, **HERE).script.tags, ["pypi"])


@client.check("scripts: an upload with a syntax error is rejected")
def _():
    module = ("index.js", b"export default {", "application/javascript+module")
    upload = lambda: dispatch.scripts.update(NAME, **HERE, metadata={"main_module": "index.js"}, files=[module])
    expect_error(cloudflare.BadRequestError, 10021, upload)
    equal(call_worker(), (200, "hello -"))


@client.check("scripts: settings, bindings")
def _():
    bindings = [{"type": "plain_text", "name": "GREETING", "text": "goodbye"}]
    dispatch.scripts.settings.edit(NAME, **HERE, settings={"bindings": bindings})
    equal([binding.text for binding in dispatch.scripts.settings.get(NAME, **HERE).bindings], ["goodbye"])
    equal([binding.name for binding in dispatch.scripts.bindings.get(NAME, **HERE)], ["GREETING"])
    equal(call_worker(), (200, "goodbye -"))


@client.check("scripts: secrets")
def _():
    secrets = dispatch.scripts.secrets
    secrets.update(NAME, **HERE, name="SECRET", text="s3cret", type="secret_text")
    equal([secret.name for secret in secrets.list(NAME, **HERE)], ["SECRET"])
    equal(call_worker(), (200, "goodbye s3cret"))
    secrets.delete("SECRET", **HERE, script_name=NAME)
    equal(call_worker(), (200, "goodbye -"))


@client.check("scripts: many secrets at once")
def _():
    secrets = dispatch.scripts.secrets
    secret = {"name": "SECRET", "text": "many", "type": "secret_text"}
    secrets.bulk_update(NAME, **HERE, secrets={"SECRET": secret})
    equal(call_worker(), (200, "goodbye many"))
    secrets.bulk_update(NAME, **HERE, secrets={"SECRET": None})
    equal(call_worker(), (200, "goodbye -"))


@client.check("scripts: tags")
def _():
    tags = dispatch.scripts.tags
    tags.update(NAME, **HERE, body=["one", "two"])
    equal(sorted(tags.list(NAME, **HERE)), ["one", "two"])
    tags.delete("one", **HERE, script_name=NAME)
    equal(list(tags.list(NAME, **HERE)), ["two"])


@client.check("scripts: read the code, replace it")
def _():
    content = dispatch.scripts.content
    assert SOURCE in content.get(NAME, **HERE).read().decode()
    new = SOURCE.replace("`${env", "`new ${env")
    module = ("index.js", new.encode(), "application/javascript+module")
    content.update(NAME, **HERE, metadata={"main_module": "index.js"}, files=[module])
    equal(call_worker(), (200, "new goodbye -"))


@client.check("scripts: delete")
def _():
    dispatch.scripts.delete(NAME, **HERE)
    expect_error(cloudflare.NotFoundError, 10092, lambda: dispatch.scripts.get(NAME, **HERE))
    equal(call_worker()[0], 404)


@client.check("KV: delete the namespaces")
def _():
    for namespace in list(cf.kv.namespaces.list(account_id=ACCOUNT)):
        if namespace.title.startswith("pypi-"):
            cf.kv.namespaces.delete(namespace.id, account_id=ACCOUNT)
    expect_error(cloudflare.NotFoundError, 10013, lambda: cf.kv.namespaces.get(state["kv"], account_id=ACCOUNT))


@client.check("a wrong token is an AuthenticationError")
def _():
    stranger = Cloudflare(base_url=os.environ["CLOUDFLARE_API_BASE_URL"], api_token="wrong-token")
    expect_error(cloudflare.AuthenticationError, 10000, lambda: stranger.r2.buckets.list(account_id=ACCOUNT))


@client.check("the account and the token")
def _():
    equal([account.id for account in cf.accounts.list()], [ACCOUNT])
    equal(cf.user.tokens.verify().status, "active")

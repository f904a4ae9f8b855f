"""What schemathesis cannot know of the HTTP API from its description."""

import datetime
import email.utils
import json
import time

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

DATES = st.datetimes(datetime.datetime(1970, 1, 1), datetime.datetime(2261, 12, 31))
schemathesis.openapi.format(
    "http-date",
    DATES.map(lambda date: email.utils.format_datetime(date.replace(tzinfo=datetime.timezone.utc), usegmt=True)),
)

CONDITIONS = {"if-match", "if-none-match", "if-unmodified-since"}


def header_names(case):
    return {name.lower() for name in case.headers or {}}


def has_long_text(value, limit):
    """Whether a text has more bytes than characters may be: JSON Schema counts characters."""
    return any(isinstance(text, str) and len(text.encode()) > limit for text in (value or {}).values())


def body(case):
    return case.body if isinstance(case.body, dict) else {}


# A request that is as described may be refused all the same, for what no schema can say: each code, with how such a request
# is known. Anything else that is refused is a finding.
REFUSED = {
    # It is known from the page before alone; the end-to-end tests go on with that.
    "invalid_cursor": lambda case: "cursor" in (case.query or {}),
    # What SQLite takes.
    "sql_error": lambda case: case.path.startswith("/db/"),
    # What is stored.
    "precondition_failed": lambda case: bool(header_names(case) & CONDITIONS),
    "range_not_satisfiable": lambda case: "range" in header_names(case),
    "invalid_part": lambda case: case.path == "/files/uploads/complete",
    # Bytes.
    "invalid_key": lambda case: has_long_text(case.query, 507) or has_long_text(body(case), 507),
    "invalid_parameter": lambda case: has_long_text(case.query, 507)
    or {"if-none-match", "if-unmodified-since"} <= header_names(case),
    "invalid_body": lambda case: len(json.dumps(body(case).get("metadata"))) > 1024,
}


def mutated(case):
    """The parameters of the query that were made invalid, where there is nothing else."""
    mutations = getattr(case.meta.phase.data, "mutations", None) or []
    if any(mutation.parameter_location != ParameterLocation.QUERY for mutation in mutations):
        return set()
    return {mutation.parameter for mutation in mutations}


def is_harmless(case):
    """Whether what is wrong with a request is nothing that the platform could see, or need see."""
    # Beside a key, a list's parameters are some that the route does not take, and those are ignored.
    wrong = mutated(case)
    if case.method == "GET" and "key" in (case.query or {}) and wrong:
        return wrong <= {"prefix", "delimiter", "limit", "cursor", "include"}
    # A form has texts and files: a `key` of `true` is the text.
    return case.path == "/files" and case.method == "POST" and {"key", "file"} <= body(case).keys()


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if isinstance(failure, AcceptedNegativeData):
        return not is_harmless(case)
    if not isinstance(failure, RejectedPositiveData):
        return True
    # A reply to HEAD has no body.
    head = {400: "invalid_key", 412: "precondition_failed"}
    code = head.get(response.status_code) if case.method == "HEAD" else response.json()["code"]
    return not (code in REFUSED and REFUSED[code](case))


@schemathesis.hook("map_body")
def time_is_now(context, body):
    """An `expiration` is ahead of now, which no schema can say."""
    expiration = body.get("expiration") if isinstance(body, dict) else None
    if type(expiration) in (int, float) and 60 <= expiration < time.time() + 90:
        body["expiration"] = type(expiration)(int(time.time()) + 90)
    return body


def runs(statement):
    """A statement that SQLite takes, with as many parameters, in place of most, which it would not."""
    if isinstance(statement, dict) and isinstance(statement.get("sql"), str) and len(statement["sql"]) % 4 != 1:
        params = statement.get("params")
        count = len(params) if isinstance(params, list) else 0
        statement["sql"] = "SELECT " + ", ".join(["?"] * min(count, 100) or ["1"])


@schemathesis.hook("map_body")
def some_statements_run(context, body):
    if isinstance(body, dict):
        runs(body)
        for statement in body["statements"] if isinstance(body.get("statements"), list) else []:
            runs(statement)
    return body

"""Rules of the HTTP API that its OpenAPI description cannot express."""

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
    """Returns whether a string has more than `limit` bytes. JSON Schema can only limit characters."""
    return any(isinstance(text, str) and len(text.encode()) > limit for text in (value or {}).values())


def body(case):
    return case.body if isinstance(case.body, dict) else {}


# Requests that match the description but may be refused, by problem code: each with a test for such requests. The reasons
# are rules that a schema cannot express. Any other refusal is a finding.
REFUSED = {
    # A valid cursor comes from the page before. The end-to-end tests cover valid cursors.
    "invalid_cursor": lambda case: "cursor" in (case.query or {}),
    # Valid SQL.
    "sql_error": lambda case: case.path.startswith("/db/"),
    # These depend on what is stored.
    "precondition_failed": lambda case: bool(header_names(case) & CONDITIONS),
    "range_not_satisfiable": lambda case: "range" in header_names(case),
    "invalid_part": lambda case: case.path == "/files/uploads/complete",
    # Limits in bytes.
    "invalid_key": lambda case: has_long_text(case.query, 507) or has_long_text(body(case), 507),
    "invalid_parameter": lambda case: has_long_text(case.query, 507)
    or {"if-none-match", "if-unmodified-since"} <= header_names(case),
    "invalid_body": lambda case: len(json.dumps(body(case).get("metadata"))) > 1024,
}


def invalid_query_parameters(case):
    """Returns the query parameters that schemathesis made invalid, or an empty set if it changed other parts, too."""
    mutations = getattr(case.meta.phase.data, "mutations", None) or []
    if any(mutation.parameter_location != ParameterLocation.QUERY for mutation in mutations):
        return set()
    return {mutation.parameter for mutation in mutations}


def is_harmless(case):
    """Returns whether the platform may accept an invalid request, because it cannot or need not detect the error."""
    # With a key, the parameters of lists are ignored.
    invalid = invalid_query_parameters(case)
    if case.method == "GET" and "key" in (case.query or {}) and invalid:
        return invalid <= {"prefix", "delimiter", "limit", "cursor", "include"}
    # All form fields are strings: a `key` of `true` is the string "true".
    return case.path == "/files" and case.method == "POST" and {"key", "file"} <= body(case).keys()


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if isinstance(failure, AcceptedNegativeData):
        return not is_harmless(case)
    if not isinstance(failure, RejectedPositiveData):
        return True
    # A reply to HEAD has no body and so no code.
    head = {400: "invalid_key", 412: "precondition_failed"}
    code = head.get(response.status_code) if case.method == "HEAD" else response.json()["code"]
    return not (code in REFUSED and REFUSED[code](case))


@schemathesis.hook("map_body")
def move_expiration_ahead(context, body):
    """Makes an `expiration` later than now, which a schema cannot express."""
    expiration = body.get("expiration") if isinstance(body, dict) else None
    if type(expiration) in (int, float) and 60 <= expiration < time.time() + 90:
        body["expiration"] = type(expiration)(int(time.time()) + 90)
    return body


def make_valid(statement):
    """Replaces the SQL of most statements, which would be invalid, with a valid query of as many parameters."""
    if isinstance(statement, dict) and isinstance(statement.get("sql"), str) and len(statement["sql"]) % 4 != 1:
        params = statement.get("params")
        count = len(params) if isinstance(params, list) else 0
        statement["sql"] = "SELECT " + ", ".join(["?"] * min(count, 100) or ["1"])


@schemathesis.hook("map_body")
def make_most_statements_valid(context, body):
    if isinstance(body, dict):
        make_valid(body)
        for statement in body["statements"] if isinstance(body.get("statements"), list) else []:
            make_valid(statement)
    return body

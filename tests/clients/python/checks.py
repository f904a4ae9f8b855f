"""The Python scripts' shared code: the platform's address, the files that they send, and their output.

A script prints a line of JSON for each check: {"client", "version", "what", "result"}. The result is "ok" or an error
message. After a failed check, the others still run.
"""

import json
import os
import random
import sys
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory

URL = os.environ["PLATFORM_URL"]
CUSTOMER = {"X-User-ID": "clients"}

# nginx with TLS and HTTP/2 in front of the platform, and its certificate.
PROXY_URL = os.environ["PROXY_URL"]
PROXY_CERTIFICATE = os.environ["PROXY_CERTIFICATE"]
PROXY_VERSION = os.environ["PROXY_VERSION"]

ORIGIN = "https://app.example"

SMALL = b"hello, world\n"
LARGE = random.Random(1).randbytes(12 << 20)
PART = 5 << 20
AWKWARD_NAME = "föö 漢字 🦀 (1).txt"
JSON_VALUE = {"text": "naïve 漢字 🦀 \u2028", "integer": 9007199254740993, "large": 12345678901234567890, "small": 1e-7}

_folder = TemporaryDirectory()
FOLDER = Path(_folder.name)


def file(name: str, content: bytes) -> Path:
    """Creates a file in the temporary folder."""
    path = FOLDER / name
    path.write_bytes(content)
    return path


SMALL_FILE = file("small.txt", SMALL)
EMPTY_FILE = file("empty.txt", b"")
LARGE_FILE = file("large.bin", LARGE)
AWKWARD_FILE = file(AWKWARD_NAME, SMALL)


class Client:
    """A client. Prints the result of each of its checks."""

    def __init__(self, name: str, version: str):
        self.name, self.version = name, version

    def check(self, what: str):
        """Returns a decorator that runs the function at once, and prints the result."""

        def run(function):
            try:
                function()
                result = "ok"
            except Exception as error:
                frames = traceback.extract_tb(error.__traceback__)
                line = next((frame.lineno for frame in reversed(frames) if frame.filename == sys.argv[0]), 0)
                result = f"line {line}: {type(error).__name__}: {error}"[:600]
            report = {"client": self.name, "version": self.version, "what": what, "result": result}
            print(json.dumps(report), flush=True)

        return run


def equal(actual, expected):
    """Fails unless both values are equal. The message has both values, shortened if they are long."""
    assert actual == expected, f"{_short(actual)} is not {_short(expected)}"


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 250 else f"{text[:250]}... ({len(value)} long)"


def expect_problem(status: int, content_type: str, body: bytes, expected_status: int, code: str):
    """Expects a problem (RFC 9457) with this status and code."""
    equal((status, content_type), (expected_status, "application/problem+json"))
    problem = json.loads(body)
    equal((problem["status"], problem["code"]), (expected_status, code))
    assert problem["detail"] and problem["requestId"], problem

"""Python's own `http.client`, and pipelined requests on a plain socket."""

import platform
import socket
from http.client import HTTPConnection, HTTPResponse
from io import BufferedIOBase
from urllib.parse import quote, urlsplit

from checks import *

client = Client("http.client", platform.python_version())
ADDRESS = urlsplit(URL).netloc


class Replies:
    """A buffer that all responses of a connection share. Each `HTTPResponse` would open and close its own."""

    def __init__(self, connection):
        self.stream = connection.makefile("rb")

    def makefile(self, _mode):
        stream = self.stream

        class Shared(BufferedIOBase):
            def readable(self):
                return True

            def readline(self, limit=-1):
                return stream.readline(limit)

            def read(self, size=-1):
                return stream.read(size)

            def readinto(self, buffer):
                return stream.readinto(buffer)

        return Shared()


@client.check("one connection for a PUT, a GET, a HEAD, a 404, a 304 and a DELETE")
def _():
    connection = HTTPConnection(ADDRESS)
    connection.connect()
    opened = connection.sock
    path = "/files?key=" + quote("http.client/a")
    etag = None
    for method, body, headers, status, content in [
        ("PUT", b"kept", {}, 200, None),
        ("GET", None, {}, 200, b"kept"),
        ("HEAD", None, {}, 200, b""),
        ("GET", None, {"If-None-Match": "*"}, 304, b""),
        ("DELETE", None, {}, 200, b'{"success":true}'),
        ("GET", None, {}, 404, None),
    ]:
        connection.request(method, path, body, {**CUSTOMER, **headers})
        response = connection.getresponse()
        read = response.read()
        equal((method, response.status), (method, status))
        assert content is None or read == content, read
        etag = response.headers["ETag"] or etag
    assert connection.sock is opened and etag


@client.check("20 requests at once on one connection, some with bodies: replies come in order")
def _():
    with socket.create_connection(urlsplit(URL).netloc.split(":")) as connection:
        connection.settimeout(60)
        requests = []
        for number in range(10):
            body = b"%d" % number * 1000
            head = f"PUT /files?key=http.client/{number} HTTP/1.1\r\nHost: {ADDRESS}\r\nX-User-ID: clients\r\n"
            requests.append(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        for number in range(10):
            head = f"GET /files?key=http.client/{number} HTTP/1.1\r\nHost: {ADDRESS}\r\nX-User-ID: clients\r\n\r\n"
            requests.append(head.encode())
        connection.sendall(b"".join(requests))
        replies = Replies(connection)
        for number in range(20):
            response = HTTPResponse(replies)
            response.begin()
            body = response.read()
            equal(response.status, 200)
            if number < 10:
                equal(json.loads(body)["key"], f"http.client/{number}")
            else:
                equal(body, b"%d" % (number - 10) * 1000)

"""A moto server that keeps its promises under concurrency.

Stock moto serves requests from threads over state without locks: under load, SQS loses and repeats
messages. Here one lock is held around each call. A long poll would hold it for seconds, so waiting
happens outside: a receive is asked again, without waiting, until messages come or time is up.

Prints `port N` once it listens, and ends when its standard input is closed: a test that dies takes
its server with it. `GET /calls` answers how often each operation was called; `DELETE /calls`
forgets it. Calls that a long poll makes inside are counted once. `GET /units` answers what the writes
of DynamoDB would be charged, by table and kind of item, and `GET /sizes` the largest item of each.

Bucket notifications reach their queues as moto delivers them: at once, once each, in order. S3
promises less, so `--lose`, `--repeat` and `--late` are the probabilities that an event is lost,
comes twice, or comes up to `--late-seconds` later. What happens depends on `--seed`, the queue, the
key and how often that key was written, and on nothing else. `GET /events` answers the counts, and how
many events are `pending`: late ones that are still on their way.
"""

import argparse
import io
import json
import random
import socket
import sys
import threading
import time
from collections import Counter

from moto.core import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.s3 import notifications
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

POLL_SECONDS = 0.03


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        # Answers are small: do not wait to fill a packet.
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log(self, *args):
        pass


class Events:
    """The way of a bucket's events to their queues."""

    def __init__(self, faults, lock):
        self.faults = faults
        self.lock = lock
        self.send = notifications._send_sqs_message
        self.written = Counter()
        self.counts = Counter()

    def __call__(self, account, body, queue, region):
        if "Records" not in body:
            return self.send(account, body, queue, region)
        key = body["Records"][0]["s3"]["object"]["key"]
        self.written[queue, key] += 1
        turn = self.written[queue, key]
        dice = random.Random(f"{self.faults.seed} {queue} {key} {turn}")
        lost, repeated, late = (
            dice.random() < chance
            for chance in (self.faults.lose, self.faults.repeat, self.faults.late)
        )
        self.counts["written"] += 1
        if lost:
            self.counts["lost"] += 1
            return None
        for copy in range(2 if repeated else 1):
            self.counts["repeated"] += copy
            if late:
                self.counts["late"] += 1
                self.counts["pending"] += 1
                wait = dice.random() * self.faults.late_seconds
                timer = threading.Timer(wait, self.deliver, (account, body, queue, region))
                timer.daemon = True
                timer.start()
            else:
                self.send(account, body, queue, region)

    def deliver(self, *event):
        with self.lock:
            self.send(*event)
            self.counts["pending"] -= 1


class Serial:
    def __init__(self, app, faults):
        self.app = app
        self.lock = threading.Lock()
        self.counting = threading.Lock()
        self.calls = Counter()
        self.units = Counter()
        self.sizes = Counter()
        # moto has no other place to put something between a bucket and its queues.
        self.events = notifications._send_sqs_message = Events(faults, self.lock)

    def once(self, environ, body):
        environ = dict(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        answer = {}

        def start(status, headers, exc_info=None):
            answer["status"], answer["headers"] = status, headers

        with self.lock:
            parts = self.app(environ, start)
            try:
                payload = b"".join(parts)
            finally:
                getattr(parts, "close", lambda: None)()
        headers = answer["headers"]
        if b"CompleteMultipartUploadResponse" in payload[:200]:
            # moto names the element otherwise than S3 does, and strict clients refuse it.
            payload = payload.replace(b"UploadResponse", b"UploadResult")
            headers = [h for h in headers if h[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(payload))))
        return answer["status"], headers, payload

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/calls":
            return self.report(self.calls, environ, start_response)
        if environ["PATH_INFO"] == "/units":
            return self.report(self.units, environ, start_response)
        if environ["PATH_INFO"] == "/sizes":
            return self.report(self.sizes, environ, start_response)
        if environ["PATH_INFO"] == "/events":
            return self.report(self.events.counts, environ, start_response)
        # Everything is read before the lock is taken: a slow client holds up nobody.
        if environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read()
        else:
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["CONTENT_LENGTH"] = str(len(body))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        service = environ.get("HTTP_AUTHORIZATION", "").split("/")[3:4]
        with self.counting:
            self.calls[target or f"{(service or ['?'])[0]}.{environ['REQUEST_METHOD']}"] += 1
        deadline = time.monotonic()
        if target == "AmazonSQS.ReceiveMessage":
            asked = json.loads(body)
            deadline += asked.get("WaitTimeSeconds", 0)
            asked["WaitTimeSeconds"] = 0
            body = json.dumps(asked).encode()
            environ["CONTENT_LENGTH"] = str(len(body))
        while True:
            status, headers, payload = self.once(environ, body)
            empty = target == "AmazonSQS.ReceiveMessage" and b'"Messages"' not in payload
            left = deadline - time.monotonic()
            if not empty or not status.startswith("200") or left <= 0:
                break
            time.sleep(min(POLL_SECONDS, left))
        if target.startswith("DynamoDB") and status.startswith("200"):
            self.count_units(target, environ, json.loads(body))
        start_response(status, headers)
        return [payload]

    def count_units(self, target, environ, asked):
        """Counts write units as DynamoDB charges them: one for each KB of an item, two if in a transaction.

        Items are named by their table and, where several kinds share one, by what their key begins with.
        """
        operation = target.rpartition(".")[2]
        if operation == "TransactWriteItems":
            writes = [write for item in asked["TransactItems"] for write in item.values()]
        elif operation in ("PutItem", "UpdateItem", "DeleteItem"):
            writes = [asked]
        else:
            return
        each = 2 if operation == "TransactWriteItems" else 1
        region = environ["HTTP_AUTHORIZATION"].split("/")[2]
        backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][region]
        for write in writes:
            table = backend.tables[write["TableName"]]
            attributes = write.get("Key") or write["Item"]
            names = [table.hash_key_attr] + [table.range_key_attr] * table.has_range_key
            key = {name: attributes[name] for name in names}
            with self.lock:
                item = backend.get_item(write["TableName"], key)
                size = item.size() if item else 0
            kind = next(iter(key.values()))["S"]
            name = f"{table.name} {kind.partition('#')[0]}" if "#" in kind else table.name
            with self.counting:
                self.units[name] += each * max(1, -(-size // 1024))
                self.sizes[name] = max(self.sizes[name], size)

    def report(self, counts, environ, start_response):
        with self.counting:
            if environ["REQUEST_METHOD"] == "DELETE":
                counts.clear()
            payload = json.dumps(counts.copy()).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(payload)))]
        start_response("200 OK", headers)
        return [payload]


def main():
    parser = argparse.ArgumentParser(description="moto behind one lock; see the file's beginning")
    parser.add_argument("port", type=int, nargs="?", default=0, help="0, the default: a free one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lose", type=float, default=0)
    parser.add_argument("--repeat", type=float, default=0)
    parser.add_argument("--late", type=float, default=0)
    parser.add_argument("--late-seconds", type=float, default=10)
    args = parser.parse_args()
    app = Serial(DomainDispatcherApplication(create_backend_app), args)
    server = make_server("127.0.0.1", args.port, app, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"port {server.server_port}", flush=True)
    sys.stdin.read()


main()

"""A receiver as a stranger would write it: with the library of Standard Webhooks, knowing nothing of Ronda.

Arguments: the secrets it knows. Prints its port, then a line of JSON for each request. What it answers is read from standard input: a
line `STATUS [Retry-After]` for each request to come; 200 without one. A status of 0 closes the connection after the request was read.
"""

import http.server
import json
import queue
import sys
import threading

from standardwebhooks import Webhook

answers = queue.Queue()
hooks = [Webhook(secret) for secret in sys.argv[1:]]


def verified(headers, body):
    for hook in hooks:
        try:
            hook.verify(body, headers)
            return True
        except Exception:
            pass
    return False


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        late = dict(headers, **{"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)})
        other = dict(headers, **{"webhook-id": headers["webhook-id"] + "x"})
        seen = {
            "id": headers["webhook-id"],
            "type": headers["content-type"],
            "body": json.loads(body),
            "verified": verified(headers, body),
            "altered": {
                "body": verified(headers, body.replace(b"m", b"n", 1)),
                "id": verified(other, body),
                "time": verified(late, body),
            },
        }
        try:
            status, *after = answers.get_nowait().split()
        except queue.Empty:
            status, after = "200", []
        seen["taken"] = status in ("0", "200")
        print(json.dumps(seen), flush=True)
        if status == "0":
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(int(status))
        if after:
            self.send_header("retry-after", after[0])
        if status == "302":
            self.send_header("location", self.path)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


def take_answers():
    for line in sys.stdin:
        if line.strip() != "sync":
            answers.put(line.strip())
        print(json.dumps("taken"), flush=True)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=take_answers, daemon=True).start()
server.serve_forever()

"""An app on Slack's own SDK: takes interactions over Socket Mode, and over HTTP with their signature.

Arguments: the Web API's address, the app-level token, the signing secret. Says its HTTP port when it is connected, and ends with its input."""

import http.server
import json
import sys
import threading

from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode import SocketModeClient
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web import WebClient

api, app_token, secret = sys.argv[1:]
verifier = SignatureVerifier(secret)


class Door(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_true = verifier.is_valid_request(body, dict(self.headers))
        said = b"signed" if is_true else b""
        self.send_response(200 if is_true else 401)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


def answer(client, request):
    payload = {"text": "by the SDK: " + request.payload["text"]} if request.type == "slash_commands" else None
    client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload=payload))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = SocketModeClient(app_token=app_token, web_client=WebClient(base_url=api))
client.socket_mode_request_listeners.append(answer)
client.connect()
print(json.dumps(server.server_port), flush=True)
sys.stdin.read()

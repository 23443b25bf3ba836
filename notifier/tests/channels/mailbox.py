"""A mail server that is not ours: aiosmtpd, with STARTTLS and a login when it is told so.

Arguments: `starttls`, `tls` or `none`, and a certificate and its key (PEM) for the first two. Prints its port, then a line of JSON for each mail.
What goes wrong is read from standard input, a line for each mail to come: `rcpt 550`, `data 451`, `drop` (taken, then cut off before
the answer); no line: nothing.
"""

import email
import email.policy
import json
import queue
import socket
import ssl
import sys
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

faults = queue.Queue()


class Handler:
    fault = None

    async def handle_MAIL(self, server, session, envelope, address, options):
        try:
            self.fault = faults.get_nowait()
        except queue.Empty:
            self.fault = None
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.fault and self.fault.startswith("rcpt"):
            return self.fault.split()[1] + " not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.fault and self.fault.startswith("data"):
            return self.fault.split()[1] + " not this"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content() if mail.get_body((kind,)) else None
        seen = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": {name.lower(): str(value) for name, value in mail.items()},
            "text": part("plain"),
            "html": part("html"),
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
            "login": session.auth_data,
        }
        print(json.dumps(seen), flush=True)
        if self.fault == "drop":
            server.transport.abort()
        return "250 taken"


def login(server, session, envelope, mechanism, data):
    fine = data.login == b"ronda" and data.password == b"secret"
    return AuthResult(success=fine, handled=False, auth_data=data.login.decode() if fine else None)


def take_faults():
    for line in sys.stdin:
        if line.strip() != "sync":
            faults.put(line.strip())
        print(json.dumps("taken"), flush=True)


arguments = {}
if sys.argv[1] != "none":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    if sys.argv[1] == "starttls":
        arguments = {"tls_context": context, "require_starttls": True}
    else:
        arguments = {"ssl_context": context}
    arguments |= {"authenticator": login, "auth_required": True, "auth_require_tls": sys.argv[1] == "starttls"}


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
port = listener.getsockname()[1]
listener.close()
controller = Controller(Handler(), hostname="127.0.0.1", port=port, ready_timeout=10, **arguments)
controller.start()
print(port, flush=True)
threading.Thread(target=take_faults, daemon=True).start()
threading.Event().wait()

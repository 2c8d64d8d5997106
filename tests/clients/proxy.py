"""A loopback proxy between a client and pinport: it hands every byte on, judges every answer by the service model,
and breaks an answer when it is told to. It never repairs anything."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# Hop by hop: they belong to a connection and not to a message.
OF_CONNECTIONS = {"connection", "keep-alive", "transfer-encoding"}


class Proxy:
    """Runs until `close`."""

    def __init__(self, target, contract):
        self.target = urlsplit(target).netloc
        self.contract = contract
        self.wrong = []
        self.seen = {}
        self.requests = 0
        self.lock = threading.Lock()
        self.to_break = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def judge(self, method, path, status, headers, body):
        operation = self.contract.operation(method, path)
        with self.lock:
            self.requests += 1
            if not path.startswith("/v1/") or (operation is None and status < 400):
                return
            if status < 400:
                self.seen[operation] = self.seen.get(operation, 0) + 1
            wrong = self.contract.judge(operation, status, headers, body)
            self.wrong += [f"{operation or method + ' ' + path}: {text}" for text in wrong]

    def is_to_break(self, method, path):
        """Whether this answer is the one that was asked to be lost: `/break/OPERATION` does."""
        with self.lock:
            if self.to_break and self.contract.operation(method, path) == self.to_break:
                self.to_break = None
                return True
            return False


def handler(proxy):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def handle_one(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path.startswith("/break/"):
                with proxy.lock:
                    proxy.to_break = self.path.removeprefix("/break/")
                self.send_response(204)
                self.end_headers()
                return
            path = self.path.partition("?")[0]
            status, reason, headers, answer = self.ask(body)
            proxy.judge(self.command, path, status, headers, answer)
            if proxy.is_to_break(self.command, path):
                # The request was served; its answer is lost on the way.
                self.close_connection = True
                return
            self.send_response_only(status, reason)
            for name, value in headers:
                if name.lower() not in OF_CONNECTIONS | {"content-length"}:
                    self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer)

        def ask(self, body):
            connection = http.client.HTTPConnection(proxy.target, timeout=60)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    if name.lower() not in OF_CONNECTIONS:
                        connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                return answer.status, answer.reason, answer.getheaders(), answer.read()
            finally:
                connection.close()

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = handle_one

    return Handler

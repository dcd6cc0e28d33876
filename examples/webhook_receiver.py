"""Receive webhooks, verify and print them: `WEBHOOK_SECRET=whsec_… python webhook_receiver.py`.

Needs standardwebhooks.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])
handled: set[str] = set()  # keep the ids where they survive a restart: an event may be delivered twice


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 to a genuine event and 400 to anything else."""

    def do_POST(self) -> None:
        # The signature covers the body byte by byte: verify it before you parse it.
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            print(f"rejected: {error}", flush=True)
            self._answer(400)
            return
        self._answer(204)  # at once; work on it afterwards
        if (event_id := self.headers["webhook-id"]) not in handled:
            handled.add(event_id)
            job = event["data"]
            counts = f"{job['completed_images']} of {job['total_images']} pictures"
            print(f"{event['type']}: job {job['job_id']}, {counts}", flush=True)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Receiver)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()

"""Follow a job until it ends: `python follow.py JOB`. Needs httpx."""

import json
import os
import sys
import time

import httpx

api = os.environ.get("DARKROOM_URL", "http://127.0.0.1:8400")
key = os.environ.get("DARKROOM_KEY")
headers = {"Authorization": f"Bearer {key}"} if key else {}
connected = False  # a lost connection is renewed; an address that never answered is wrong
last = "0"  # the number of the last picture; after a lost connection, the stream continues with the next one

while True:
    try:
        http = httpx.Client(headers={**headers, "Last-Event-ID": last}, timeout=30)
        with http, http.stream("GET", f"{api}/api/jobs/{sys.argv[1]}/events") as response:
            kind = response.headers.get("Content-Type", "")
            if response.is_client_error and "problem+json" in kind:
                sys.exit(json.loads(response.read())["detail"])
            if not response.is_server_error and not kind.startswith("text/event-stream"):
                sys.exit(f"{api} is not Darkroom's API: HTTP {response.status_code}; check DARKROOM_URL")
            connected = connected or response.is_success
            rest = ""
            for text in response.iter_text():
                *events, rest = (rest + text).split("\n\n")
                for event in events:
                    fields = dict(line.split(": ", 1) for line in event.split("\n") if not line.startswith(":"))
                    data, last = json.loads(fields.get("data", "{}")), fields.get("id", last)
                    if fields.get("event") == "image":
                        print(f"picture {data['number']}: {httpx.URL(api).join(data['url'])}", flush=True)
                    if fields.get("event") == "end":
                        print(f"{data['status']}: {data['completed_images']} of {data['total_images']} pictures")
                        sys.exit(data["completed_images"] < data["total_images"])
    except httpx.TransportError as error:
        if not connected:
            sys.exit(f"{api} cannot be reached: {error}; check DARKROOM_URL")
        print(f"reconnecting: {error}", file=sys.stderr)
    time.sleep(1)

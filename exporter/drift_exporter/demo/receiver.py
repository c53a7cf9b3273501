"""A server on loopback that plays the HTTP APIs of Slack and PagerDuty.

Keeps what it gets and can tell it readably; knows nothing of drift and checks only what the
real ones would refuse: a message that is no JSON, an event without key or action.
"""

import argparse
import http.server
import json
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

SLACK_PATH, PAGERDUTY_PATH = "/slack", "/v2/enqueue"
LARGEST_BYTES = 1024 * 1024

Message = dict[str, Any]


class Receiver:
    """What has arrived so far."""

    def __init__(self, url: str, told: Callable[[str], None]) -> None:
        self._lock = threading.Lock()
        self._told = told
        self._slack: list[Message] = []
        self._pagerduty: list[Message] = []
        self.url = url

    @property
    def slack_url(self) -> str:
        """Address for Slack's messages."""
        return self.url + SLACK_PATH

    @property
    def pagerduty_url(self) -> str:
        """Address for PagerDuty's events."""
        return self.url + PAGERDUTY_PATH

    @property
    def slack(self) -> list[Message]:
        """Messages that Slack would have shown."""
        with self._lock:
            return list(self._slack)

    @property
    def pagerduty(self) -> list[Message]:
        """Events that PagerDuty would have taken."""
        with self._lock:
            return list(self._pagerduty)

    def take(self, path: str, message: Message) -> tuple[HTTPStatus, str]:
        """Take a message as the API at this path would, and answer like it."""
        if path == SLACK_PATH:
            return self._take_slack(message)
        if path == PAGERDUTY_PATH:
            return self._take_event(message)
        return HTTPStatus.NOT_FOUND, "no_service"

    def _take_slack(self, message: Message) -> tuple[HTTPStatus, str]:
        if not message.get("text") and not message.get("attachments"):
            return HTTPStatus.BAD_REQUEST, "no_text"
        with self._lock:
            self._slack.append(message)
        self._told(slack_text(message))
        return HTTPStatus.OK, "ok"

    def _take_event(self, event: Message) -> tuple[HTTPStatus, str]:
        wanted = ["routing_key", "event_action"]
        if event.get("event_action") == "trigger":
            payload = event.get("payload") or {}
            missing = [key for key in ("summary", "source", "severity") if not payload.get(key)]
        else:
            missing = [] if event.get("dedup_key") else ["dedup_key"]
        missing += [key for key in wanted if not event.get(key)]
        if missing:
            answer = {"status": "invalid event", "errors": [f"{key} is missing" for key in missing]}
            return HTTPStatus.BAD_REQUEST, json.dumps(answer)
        with self._lock:
            self._pagerduty.append(event)
        self._told(pagerduty_text(event))
        done = {"status": "success", "dedup_key": event.get("dedup_key", "")}
        return HTTPStatus.ACCEPTED, json.dumps(done)


def slack_text(message: Message) -> str:
    """A Slack message as plain text: title, lines and buttons."""
    lines = [f"Slack {message.get('channel', '')}"]
    for attachment in message.get("attachments", []):
        lines.append(f"  {_plain(attachment.get('title', ''))}")
        lines += [f"    {_plain(line)}" for line in attachment.get("text", "").splitlines()]
        for action in attachment.get("actions", []):
            lines.append(f"    [{action.get('text', '')}] {action.get('url', '')}")
        if attachment.get("footer"):
            lines.append(f"    {_plain(attachment['footer'])}")
    return "\n".join(lines)


def pagerduty_text(event: Message) -> str:
    """An event of PagerDuty as plain text."""
    payload = event.get("payload") or {}
    what = f"{payload.get('severity', '')} {payload.get('summary', '')}".strip()
    return f"PagerDuty {event['event_action']}: {what}"


def _plain(text: str) -> str:
    # A link that stands alone is shown as a button is; one beside what it is about is left out.
    text = re.sub(r"^<([^|>]*)\|([^>]*)>$", r"[\2] \1", text)
    linked = re.sub(r"\s*<[^|>]*\|[^>]*>", "", text).replace("*", "")
    return linked.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@contextmanager
def receiving(
    told: Callable[[str], None] = lambda _: None, address: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[Receiver]:
    """Run a receiver, by default on a free port of loopback, for the time of the body.

    ``told`` gets the text of each message as it comes, from a thread of the server.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            """Take a message."""
            length = int(self.headers.get("Content-Length") or 0)
            try:
                message = json.loads(self.rfile.read(min(length, LARGEST_BYTES)))
                status, answer = receiver.take(self.path, message)
            except (ValueError, AttributeError):
                status, answer = HTTPStatus.BAD_REQUEST, "invalid_payload"
            body = answer.encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Stay silent: what arrives is told once."""

    with http.server.ThreadingHTTPServer(address, Handler) as server:
        server.daemon_threads = True
        receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}", told)
        thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Print what arrives at an address, until the process is told to end."""
    parser = argparse.ArgumentParser(description="Play Slack's and PagerDuty's HTTP APIs.")
    parser.add_argument("--listen-address", default="127.0.0.1:5001", help="host:port or :port")
    host, _, port = parser.parse_args().listen_address.rpartition(":")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # All interfaces where no host is named: in a container nobody else is there.
    with receiving(lambda text: print(text, flush=True), (host or "0.0.0.0", int(port))):  # noqa: S104, T201
        ended.wait()


if __name__ == "__main__":
    main()

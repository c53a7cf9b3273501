"""Sends the request of an action and tells whether it was done, was not, or nobody knows.

Owner of requests. Knows HTTP, retries and secrets at the moment of sending; never what an
incident is. What cannot be known is said to be unknown: a lost answer may be a started job.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from ssl import SSLCertVerificationError
from typing import Any

import requests
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError
from urllib3.util import Retry

from drift_exporter.config.action import PLACEHOLDER
from drift_exporter.config.action import Action as Configured
from drift_exporter.exchange.building import Request, url_of
from drift_exporter.exchange.secret_values import SecretError, basic_secrets, hide, read_secret
from drift_exporter.incident import ActionState

MOST_ANSWER_BYTES = 64 * 1024
MOST_TOLD_CHARACTERS = 500
LONGEST_BACKOFF_SECONDS = 60.0
MOST_TIMEOUTS = 4
"""How many timeouts a whole try may last: name, connection, handshake, answer."""

_LEAST_TELLING = 8
"""From how many characters on a piece of a secret path is a secret too."""

_REFUSED = frozenset({429, 503})
"""Answers that say: not now, and nothing was done."""

_DOUBTFUL = frozenset({500, 502, 504})
"""Answers after which the request may have been done all the same."""


@dataclass(frozen=True)
class Sent:
    """What became of a request."""

    state: ActionState
    """``succeeded``, ``failed`` (surely not done) or ``unknown``."""

    status: int | None
    """Status of the last answer, None where there was none."""

    attempts: int
    detail: str
    """The beginning of the answer, or what went wrong; no secret is in it."""

    wait_seconds: float = 0.0
    """How long the receiver asks to be left alone, ``Retry-After``."""

    def record(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return {"status": self.status, "attempts": self.attempts, "answer": self.detail}


@dataclass(frozen=True)
class _Whole:
    """A request with its secrets: never kept, never shown."""

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def send(
    action: Configured,
    request: Request,
    environ: Mapping[str, str],
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Send a request with the secrets of its action; a dry run sends nothing."""
    if action.dry_run:
        return Sent(ActionState.SUCCEEDED, None, 0, "dry run: nothing was sent")
    if request.url != url_of(action):
        # The request comes from the store: no token may go where the config does not say.
        return Sent(ActionState.FAILED, None, 0, "the address is not the one of the config")
    try:
        whole, secrets = _with_secrets(action, request, environ)
    except SecretError as error:
        return Sent(ActionState.FAILED, None, 0, str(error))
    doubt = False
    # Not urllib3's Retry: it reads an answer to its end before the next try, and the last try
    # alone would tell, though an earlier one may have been done.
    for attempt in count(1):
        sent = _once(action, whole)
        doubt = doubt or sent.state == ActionState.UNKNOWN
        if attempt > action.retries or not _again(action, sent):
            break
        own = min(action.backoff.seconds * 2 ** (attempt - 1), LONGEST_BACKOFF_SECONDS)
        sleep(max(own, sent.wait_seconds))
    state = sent.state
    if doubt and state == ActionState.FAILED:
        state = ActionState.UNKNOWN
    detail = hide(sent.detail, secrets)
    if sent.wait_seconds > LONGEST_BACKOFF_SECONDS and state != ActionState.SUCCEEDED:
        detail = f"asks to wait {sent.wait_seconds:.0f} s: {detail}"
    return Sent(state, sent.status, attempt, detail[:MOST_TOLD_CHARACTERS])


def _once(action: Configured, whole: _Whole) -> Sent:
    """One try, which is given up where it does not end: a timeout is of one part of the answer."""
    ended: SimpleQueue[Sent] = SimpleQueue()

    def run() -> None:
        ended.put(_try(action, whole))

    threading.Thread(target=run, name=f"send-{action.name}", daemon=True).start()
    try:
        return ended.get(timeout=MOST_TIMEOUTS * action.timeout.seconds)
    except Empty:
        return Sent(ActionState.UNKNOWN, None, 1, "no answer that ends (given up)")


def _try(action: Configured, whole: _Whole) -> Sent:
    try:
        with (
            requests.Session() as session,
            session.request(
                whole.method,
                whole.url,
                data=whole.body,
                headers=whole.headers,
                # Without it, a .netrc of the machine would replace our token.
                auth=_as_it_is,
                timeout=action.timeout.seconds,
                allow_redirects=False,
                stream=True,
                verify=action.ca_file or True,
            ) as response,
        ):
            wait_seconds = _asked_wait(response.raw)
            text = _beginning(response.raw, action.timeout.seconds)
    except requests.RequestException as error:
        state = ActionState.FAILED if _surely_not_sent(error) else ActionState.UNKNOWN
        return Sent(state, None, 1, _told(error))
    except OSError as error:  # the file of the authorities
        name = f"ca_file {action.ca_file}" if action.ca_file else "TLS"
        return Sent(ActionState.FAILED, None, 1, f"{name} cannot be used: {type(error).__name__}")
    state = _state(action, response.status_code)
    return Sent(state, response.status_code, 1, text, wait_seconds)


def _again(action: Configured, sent: Sent) -> bool:
    """Whether another try is safe, and of use."""
    if sent.wait_seconds > LONGEST_BACKOFF_SECONDS:
        return False
    if sent.state == ActionState.FAILED:
        return sent.status is None or sent.status in _REFUSED
    doubtful = sent.status is None or sent.status in _DOUBTFUL
    return sent.state == ActionState.UNKNOWN and doubtful and action.after_unknown == "resend"


def _with_secrets(
    action: Configured, request: Request, environ: Mapping[str, str]
) -> tuple[_Whole, tuple[str, ...]]:
    url, headers, body, secrets = request.url, dict(request.headers), request.body, []
    if action.has_token:
        token = read_secret(action.token_file, action.token_env, environ)
        secrets.append(token)
        if action.kind == "gitlab_pipeline":
            # GitLab takes a trigger token nowhere else.
            body = json.dumps({"token": token, **json.loads(body)})
        else:
            headers["Authorization"] = f"Bearer {token}"
    for name, secret in action.secret_headers.items():
        headers[name] = read_secret(secret.file, secret.env, environ)
        # "Basic abc": the part behind the scheme alone is the secret too.
        secrets += [headers[name], headers[name].rpartition(" ")[2], *basic_secrets(headers[name])]
    if action.url_secret is not None:
        part = read_secret(action.url_secret.file, action.url_secret.env, environ)
        if not re.fullmatch(r"[!-~]+", part) or "#" in part or "://" in part:
            expected = f"what stands for {PLACEHOLDER} in the address, not all of it"
            raise SecretError(f"url_secret: expected {expected}, without spaces and #")
        url = url.replace(PLACEHOLDER, part)
        # A receiver may tell a part of the path.
        secrets += [part, *(piece for piece in part.split("/") if len(piece) >= _LEAST_TELLING)]
    whole = _Whole(request.method, url, headers, body.encode("utf-8", "replace"))
    return whole, tuple(secrets)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _beginning(raw: Any, timeout_seconds: float) -> str:
    """The beginning of an answer as one line; an answer without end is left after a while."""
    content, deadline = b"", time.monotonic() + timeout_seconds
    try:
        while len(content) < MOST_ANSWER_BYTES and time.monotonic() < deadline:
            part = raw.read1(8192)
            if not part:
                break
            content += part
    except (HTTPError, OSError):
        content += b" (the answer broke off)"
    return " ".join(
        "".join(c if c.isprintable() else " " for c in content.decode("utf-8", "replace")).split()
    )


def _asked_wait(raw: Any) -> float:
    try:
        return Retry(retry_after_max=86400).get_retry_after(raw) or 0.0
    except (HTTPError, ValueError, OverflowError):
        return 0.0


def _state(action: Configured, status: int) -> ActionState:
    # Airflow has a run of this id: it is ours, from a try whose answer was lost.
    there = action.kind == "airflow_dag_run" and status == 409
    if 200 <= status < 300 or status in action.accepts or there:
        return ActionState.SUCCEEDED
    if status >= 500 and status not in _REFUSED:
        return ActionState.UNKNOWN
    return ActionState.FAILED


def _surely_not_sent(error: requests.RequestException) -> bool:
    """Whether there was no connection over which the request could have gone."""
    cause = _cause(error)
    if isinstance(cause, NewConnectionError | ConnectTimeoutError):
        return True
    if isinstance(error, requests.exceptions.ProxyError | requests.exceptions.InvalidURL):
        return True
    return any(isinstance(part, SSLCertVerificationError) for part in _chain(cause))


def _cause(error: requests.RequestException) -> BaseException:
    first = error.args[0] if error.args else error
    reason = first.reason if isinstance(first, MaxRetryError) else first
    return reason if isinstance(reason, BaseException) else error


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
        error = inner or error.__cause__ or error.__context__
    return found


def _told(error: requests.RequestException) -> str:
    # Without the library's text, which quotes addresses and proxies.
    names = dict.fromkeys(type(part).__name__ for part in (error, _cause(error)))
    what = "no connection" if _surely_not_sent(error) else "no answer"
    return f"{what} ({', '.join(names)})"

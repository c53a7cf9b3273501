"""Sends the request of an action and tells whether it was done, was not, or nobody knows.

Owner of requests. Knows HTTP, retries and secrets at the moment of sending; never what an
incident is. What cannot be known is said to be unknown: a lost answer may be a started job.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ssl import SSLCertVerificationError
from types import TracebackType
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError
from urllib3.util import Retry

from drift_exporter.config.action import Action as Configured
from drift_exporter.incident import ActionState
from drift_exporter.incidents.building import Request, url_of
from drift_exporter.incidents.secret_values import SecretError, hide, read_secret

MOST_ANSWER_BYTES = 64 * 1024
MOST_TOLD_CHARACTERS = 500
LONGEST_BACKOFF_SECONDS = 60.0

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

    def record(self) -> dict[str, Any]:
        """The outcome as plain data."""
        return {"status": self.status, "attempts": self.attempts, "answer": self.detail}


def send(action: Configured, request: Request, environ: Mapping[str, str]) -> Sent:
    """Send a request with the secrets of its action; a dry run sends nothing."""
    if action.dry_run:
        return Sent(ActionState.SUCCEEDED, None, 0, "dry run: nothing was sent")
    if request.url != url_of(action):
        # The request comes from the store: no token may go where the config does not say.
        return Sent(ActionState.FAILED, None, 0, "the address is not the one of the config")
    try:
        headers, body, secrets = _with_secrets(action, request, environ)
    except SecretError as error:
        return Sent(ActionState.FAILED, None, 0, str(error))
    tries = _Tries()
    try:
        with _session(action, tries) as session:
            response = session.request(
                request.method,
                request.url,
                data=body,
                headers=headers,
                # Without it, a .netrc of the machine would replace our token.
                auth=_as_it_is,
                timeout=action.timeout.seconds,
                allow_redirects=False,
                stream=True,
                verify=action.ca_file or True,
            )
            with response:
                text = hide(_beginning(response.raw, action.timeout.seconds), secrets)
    except requests.RequestException as error:
        state = ActionState.FAILED if _surely_not_sent(error) else ActionState.UNKNOWN
        return Sent(state, None, tries.count, _told(error))
    except OSError as error:  # the file of the authorities
        name = f"ca_file {action.ca_file}" if action.ca_file else "TLS"
        return Sent(ActionState.FAILED, None, 0, f"{name} cannot be used: {type(error).__name__}")
    status = response.status_code
    return Sent(_state(action, status), status, tries.count, text[:MOST_TOLD_CHARACTERS])


def _with_secrets(
    action: Configured, request: Request, environ: Mapping[str, str]
) -> tuple[dict[str, str], bytes, tuple[str, ...]]:
    headers, body, secrets = dict(request.headers), request.body, []
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
        secrets += [headers[name], headers[name].rpartition(" ")[2]]
    return headers, body.encode("utf-8", "replace"), tuple(secrets)


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Tries:
    """Counts the requests that were begun."""

    def __init__(self) -> None:
        self.count = 1


class _CountedRetry(Retry):
    """urllib3's rules for retries, and a count of them."""

    tries: _Tries

    def new(self, **changes: Any) -> Self:
        other = super().new(**changes)
        other.tries = self.tries
        return other

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        _pool: ConnectionPool | None = None,
        _stacktrace: TracebackType | None = None,
    ) -> Self:
        following = super().increment(method, url, response, error, _pool, _stacktrace)
        self.tries.count += 1
        return following


def _session(action: Configured, tries: _Tries) -> requests.Session:
    again = action.after_unknown == "resend"
    doubtful = action.retries if again else 0
    retry = _CountedRetry(
        total=action.retries,
        connect=action.retries,
        read=doubtful,
        other=doubtful,
        status=action.retries,
        redirect=0,
        status_forcelist=_REFUSED | _DOUBTFUL if again else _REFUSED,
        allowed_methods=None,
        # urllib3 waits twice this before the second retry.
        backoff_factor=action.backoff.seconds / 2,
        backoff_max=LONGEST_BACKOFF_SECONDS,
        raise_on_status=False,
        # A receiver must not decide how long our only worker waits.
        respect_retry_after_header=False,
    )
    retry.tries = tries
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


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

"""What every request passes first: who may come in, how much it may bring, which headers it gets.

Pure ASGI, one for the entire server. Knows no route and no page.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drift_exporter.web.auth import Passwords
from drift_exporter.web.credentials import USER, basic_of
from drift_exporter.web.live_config import LiveWebConfig

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Passes:
    """What an app wants of the gate, beyond what holds for all."""

    body_bytes: Mapping[str, int] = field(default_factory=dict)
    """Largest body by path, where it is another."""

    lets_in: Callable[[str, str], bool] = lambda _path, _authorization: False
    """Whether a path and an Authorization header are let in without a password."""


class Gate:
    """Puts authentication, a limit of the body and security headers before an app."""

    def __init__(
        self,
        app: ASGIApp,
        live: LiveWebConfig | None,
        *,
        headers: Mapping[str, str],
        max_body_bytes: int,
        passes: Passes | None = None,
    ) -> None:
        self._app = app
        self._live = live
        self._own_headers = headers
        self._max_body_bytes = max_body_bytes
        self._passes = passes or Passes()
        self._passwords = Passwords()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it to the app."""
        if scope["type"] != "http":
            raise RuntimeError(f"found {scope['type']!r}, expected only http")
        config = self._live.config() if self._live else None
        extra = self._headers(config.http_server_config.headers if config else {})

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.get("headers", ())
                names = {name for name, _ in given}
                headers = [*given, *(pair for pair in extra if pair[0] not in names)]
                if message["status"] == 500:
                    # The server closes after an unexpected error; a client that is not told
                    # loses its next request.
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        asked = dict(scope["headers"])
        refusal = None
        if config and config.basic_auth_users:
            authorization = asked.get(b"authorization", b"").decode("latin-1")
            # Tokens first: a password costs a hundred milliseconds.
            if self._passes.lets_in(scope["path"], authorization):
                pass
            elif await self._passwords.right(config.basic_auth_users, authorization):
                basic = basic_of(authorization)
                scope = {**scope, USER: basic[0] if basic else ""}
            else:
                refusal = PlainTextResponse(
                    "Unauthorized\n",
                    401,
                    {"WWW-Authenticate": 'Basic realm="drift-exporter", charset="UTF-8"'},
                )
        most = self._passes.body_bytes.get(scope["path"], self._max_body_bytes)
        refusal = refusal or self._refusal(scope["method"], asked, most)
        app = refusal or self._app
        await app(scope, self._limited(receive, most), send_with_headers)

    def close(self) -> None:
        """End what the gate started."""
        self._passwords.close()

    def _headers(self, configured: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        merged = {**self._own_headers, **configured}
        return [(name.lower().encode(), text.encode()) for name, text in merged.items() if text]

    def _refusal(
        self, method: str, asked: Mapping[bytes, bytes], most: int
    ) -> PlainTextResponse | None:
        length = asked.get(b"content-length", b"0")
        if int(length) > most:
            return PlainTextResponse(f"{_too_large(most)}\n", 413, {"Connection": "close"})
        # Browsers name the origin of what they send: another site must not make changes here
        # with the password that the browser remembers.
        if method not in _READING and asked.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            return PlainTextResponse("Forbidden: sent by another site\n", 403)
        return None

    def _limited(self, receive: Receive, most: int) -> Receive:
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise HTTPException(413, _too_large(most), headers={"Connection": "close"})
            return message

        return limited


def _too_large(most: int) -> str:
    return f"Content Too Large: at most {most} bytes are taken; send less at once"

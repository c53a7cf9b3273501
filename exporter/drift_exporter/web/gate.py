"""What every request passes first: who may come in, how much it may bring, which headers it gets.

Pure ASGI, one for the entire server. Knows no route and no page.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drift_exporter.web.auth import Passwords
from drift_exporter.web.live_config import LiveWebConfig

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Puts authentication, a limit of the body and security headers before an app."""

    def __init__(
        self,
        app: ASGIApp,
        live: LiveWebConfig | None,
        *,
        headers: Mapping[str, str],
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._live = live
        self._own_headers = headers
        self._max_body_bytes = max_body_bytes
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
            if not await self._passwords.right(config.basic_auth_users, authorization):
                refusal = PlainTextResponse(
                    "Unauthorized\n",
                    401,
                    {"WWW-Authenticate": 'Basic realm="drift-exporter", charset="UTF-8"'},
                )
        refusal = refusal or self._refusal(scope["method"], asked)
        app = refusal or self._app
        await app(scope, self._limited(receive), send_with_headers)

    def close(self) -> None:
        """End what the gate started."""
        self._passwords.close()

    def _headers(self, configured: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        merged = {**self._own_headers, **configured}
        return [(name.lower().encode(), text.encode()) for name, text in merged.items() if text]

    def _refusal(self, method: str, asked: Mapping[bytes, bytes]) -> PlainTextResponse | None:
        length = asked.get(b"content-length", b"0")
        if int(length) > self._max_body_bytes:
            return PlainTextResponse("Content Too Large\n", 413, {"Connection": "close"})
        # Browsers name the origin of what they send: another site must not make changes here
        # with the password that the browser remembers.
        if method not in _READING and asked.get(b"sec-fetch-site") in (b"cross-site", b"same-site"):
            return PlainTextResponse("Forbidden: sent by another site\n", 403)
        return None

    def _limited(self, receive: Receive) -> Receive:
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_body_bytes:
                raise HTTPException(413, headers={"Connection": "close"})
            return message

        return limited

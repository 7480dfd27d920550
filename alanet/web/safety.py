"""Which requests are allowed: each is checked here before Gradio or a route of alanet handles it.

1. The host name is this machine's, where only this machine may connect (a foreign page cannot rebind its name to us).
2. Name and password, where the server has them; compared in constant time.
3. A request that changes something comes from this page (Origin), and its body is small, uploads excepted.
4. The path is on a list. Gradio's own routes for files, uploads, proxies, editing and monitoring are not on it.
5. The values of an event are plain: Gradio would fetch a file that a value names.
6. Who has no cookie gets one with the page: a random number, unreadable for scripts.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from alanet.web.options import LOCAL, ServerOptions

__all__ = ["COOKIE", "HEADER_BYTES", "RequestFilter", "visitor_of"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "alanet_visitor"
TOKEN = re.compile(r"[0-9a-f]{64}")
HEADER_BYTES = 16 << 10  # of one request, all headers together
BODY_BYTES = 64 << 10  # of one request but an upload
EVENT = "/gradio_api/queue/join"  # a call of a function of the page
MONTH = 30 * 24 * 3600
ID = "[0-9a-f]{32}"
ALLOWED = {  # by method; whole paths
    "GET": re.compile(
        r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/static/(?:[\w-]+/)*[\w.-]+"
        r"|/assets/(?:[\w-]+/)*[\w.-]+|/gradio_api/(?:queue/data|heartbeat/\w+|startup-events|app_id|app_id/)"
        r"|/gradio_api/(?:info|theme\.css)"
        rf"|/alanet/{ID}/(?:watch-input|watch-result|result|before|after)"
    ),
    "POST": re.compile(r"/gradio_api/queue/join|/gradio_api/(?:cancel|reset|reset/)|/alanet/(?:upload|sample)"),
}
ALLOWED["HEAD"] = ALLOWED["GET"]
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class RequestFilter:
    """An ASGI application in front of another."""

    def __init__(self, app: App, options: ServerOptions) -> None:
        self.app, self.options = app, options
        self._expected = None if options.auth is None else options.auth.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
            if (refused := self._refused(scope, headers)) is not None:
                await _answer(send, *refused)
            elif scope["path"] == EVENT:
                body = await _body(receive)
                if _plain_event(body):
                    await self._pass(scope, headers, _again(body, receive), send)
                else:
                    await _answer(send, 400, "the values of an event are texts, numbers, true, false or null")
            else:
                await self._pass(scope, headers, receive, send)

    def _refused(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        """Status and line of a request that goes no further."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES:
            return 431, "the headers are too large"
        host = urlsplit(f"//{headers.get(b'host', '')}").hostname if _plain(headers.get(b"host", "")) else None
        if host is None or (self.options.local and host not in LOCAL):
            return 403, "this server does not go by that name"
        if self._expected is not None and not self._known(headers.get(b"authorization", "")):
            return 401, "name and password are needed"
        allowed = ALLOWED.get(scope["method"])
        if allowed is None:
            return 405, "method not allowed"
        raw = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        if raw != scope["path"] or not allowed.fullmatch(raw):
            return 404, "not found"
        if scope["method"] == "POST":
            return self._refused_change(scope, headers)
        if raw.startswith("/alanet/") and visitor_of(headers.get(b"cookie", "")) is None:
            return 404, "not found"
        return None

    def _refused_change(self, scope: Scope, headers: dict[bytes, str]) -> tuple[int, str] | None:
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != headers.get(b"host"):
            return 403, "this request comes from another page"
        if visitor_of(headers.get(b"cookie", "")) is None:
            return 403, "open the page first; it needs a cookie"
        if b"transfer-encoding" in headers:
            return 411, "the size of the request is not stated"
        if scope["path"] != "/alanet/upload":
            length = headers.get(b"content-length", "")
            if not (length.isascii() and length.isdigit()) or int(length) > BODY_BYTES:
                return 413, "the request is too large"
        return None

    def _known(self, given: str) -> bool:
        kind, _, text = given.partition(" ")
        try:
            said = base64.b64decode(text, validate=True) if kind.lower() == "basic" else b""
        except ValueError:
            said = b""
        return hmac.compare_digest(said, self._expected or b"")

    async def _pass(self, scope: Scope, headers: dict[bytes, str], receive: Receive, send: Send) -> None:
        extra = list(HEADERS)
        if scope["path"] == "/" and visitor_of(headers.get(b"cookie", "")) is None:
            cookie = f"{COOKIE}={secrets.token_hex(32)}; Path=/; HttpOnly; SameSite=Lax; Max-Age={MONTH}"
            extra.append((b"set-cookie", cookie.encode()))

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        await self.app(scope, receive, guarded)


def visitor_of(cookies: str) -> str | None:
    """The visitor's number in a Cookie header; None where there is none or it is malformed."""
    try:
        morsel = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel is not None and TOKEN.fullmatch(morsel.value) else None


def _plain(host: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+(?::\d+)?|\[[0-9a-fA-F:.]+\](?::\d+)?", host))


async def _body(receive: Receive) -> bytes:
    """The whole body of a request; its size has been checked."""
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A body that has been read, once more; then what follows it."""
    given: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> MutableMapping[str, Any]:
        return given.pop() if given else await receive()

    return next_message


def _plain_event(body: bytes) -> bool:
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        return False
    values = event.get("data") if isinstance(event, dict) else None
    return isinstance(values, list) and not any(isinstance(value, list | dict) for value in values)


async def _answer(send: Send, status: int, line: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="alanet", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": line.encode()})

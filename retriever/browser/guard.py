"""Who may ask the browser for what: hosts, a token, forms that only its own pages can send, headers for safety."""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Sequence
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["PAGE_POLICY", "REPORT_POLICY", "Guard", "Signer", "is_loopback"]

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of all pages: nothing of other hosts, nothing written into the page."""

REPORT_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; sandbox"
)
"""That of reports, which carry their styles and images with them and have no scripts."""

_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_SAFE = ("GET", "HEAD")


def is_loopback(host: str) -> bool:
    """Whether only this machine can ask a host.

    Examples
    --------
    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("example.org")
    (True, True, False, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Signer:
    """Signs texts with a secret that lives as long as the process."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, purpose: str, text: str) -> str:
        """The signature of a text for a purpose."""
        return hmac.new(self._secret, f"{purpose}\n{text}".encode(), hashlib.sha256).hexdigest()

    def is_signed(self, purpose: str, text: str, signature: str) -> bool:
        """Whether a signature is that of a text."""
        return hmac.compare_digest(self.sign(purpose, text).encode(), signature.encode())


class Guard:
    """Lets requests through to an application that may be answered.

    Parameters
    ----------
    app
        The application; it finds the session in ``request.state.session``.
    hosts
        Names that the browser may be asked by; all where none are given. A page of another site that points its own
        name to this machine is refused in this way.
    token
        What the first request has to bring; nothing where it is empty.
    signer
        Signs sessions.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], token: str, signer: Signer) -> None:
        self._app, self._hosts, self._token, self._signer = app, tuple(hosts), token, signer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        # cookies are shared by all ports of a host, and thus by all browsers that are served there
        name = f"retriever-{(scope.get('server') or ('', 0))[1]}"
        session = self._session(headers, name)
        new = "" if session else secrets.token_urlsafe(18)
        if refusal := self._refusal(scope, headers):
            await PlainTextResponse(refusal, 403)(scope, receive, _with_headers(send, ""))
        elif self._token and not session:
            await self._enter(scope, receive, send, self._cookie(name, new))
        else:
            scope.setdefault("state", {})["session"] = session or new
            await self._app(scope, receive, _with_headers(send, self._cookie(name, new)))

    def _session(self, headers: Headers, name: str) -> str:
        """The session of the cookie that was sent; "" where there is none that was signed here."""
        session, _, signature = cookie_parser(headers.get("cookie", "")).get(name, "").partition(".")
        return session if session and self._signer.is_signed("session", session, signature) else ""

    def _cookie(self, name: str, session: str) -> str:
        if not session:
            return ""
        return f"{name}={session}.{self._signer.sign('session', session)}; Path=/; HttpOnly; SameSite=Strict"

    def _refusal(self, scope: Scope, headers: Headers) -> str:
        host = headers.get("host", "")
        if self._hosts and _parts(f"//{host}").hostname not in self._hosts:
            return "this address is not one of those that the browser answers to\n"
        if scope["method"] in _SAFE:
            return ""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
        if site != "same-origin" or (origin is not None and _parts(origin).netloc != host):
            return "forms of other sites are not taken\n"
        return ""

    async def _enter(self, scope: Scope, receive: Receive, send: Send, cookie: str) -> None:
        """Take the token out of the address and put a session in its place."""
        words = parse_qsl(scope["query_string"].decode("latin-1"))
        given = dict(words).get("token", "")
        if scope["method"] in _SAFE and hmac.compare_digest(given.encode(), self._token.encode()):
            rest = urlencode([pair for pair in words if pair[0] != "token"])
            # a path that begins with two slashes would lead to another host
            path = "/" + scope["path"].lstrip("/")
            response = RedirectResponse(path + f"?{rest}" * bool(rest), 303)
            await response(scope, receive, _with_headers(send, cookie))
            return
        text = "open the address that retriever browse printed, with its token\n"
        await PlainTextResponse(text, 401)(scope, receive, _with_headers(send, ""))


def _parts(address: str) -> SplitResult:
    """Parts of an address; nothing of one that is none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _with_headers(send: Send, cookie: str) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if cookie:
                headers.append("Set-Cookie", cookie)
        await send(message)

    return with_headers

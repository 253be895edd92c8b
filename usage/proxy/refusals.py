"""The error table: every way a call can fail, and what the caller is told. One function, so that nothing escapes it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from usage.proxy.admitted import ProviderRefused
from usage.proxy.directory import DirectoryAway, UnknownKey, UnknownModel, UnpricedModel, WrongAddress
from usage.proxy.exchange import BadCredentials, BodyTooLarge, BodyTooSlow, UnsupportedMedia
from usage.proxy.limits import NoHeadroom
from usage.proxy.replies import NotAReply
from usage.proxy.spool import SpoolFull
from usage.proxy.stream import BrokenStream
from usage.proxy.upstream import Unreachable
from usage.proxy.wire import BadCall

INVALID = "invalid_request_error"
MISSING_KEY = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
ASK = "An administrator can set its price or allow such calls."
SERVER_ERROR = "The server had an error while processing your request. Sorry about that!"
UNITS = {"requests": "requests per min (RPM)", "tokens": "tokens per min (TPM)", "concurrent": "concurrent requests"}


class Told(NamedTuple):
    """What the caller is told."""

    status: int
    message: str
    kind: str = INVALID
    code: str | None = None
    param: str | None = None
    # Extra headers, and what `X-Debug: true` shows beside the four keys.
    headers: tuple[tuple[bytes, bytes], ...] = ()
    debug: dict[str, Any] = {}


class ContextLengthExceeded(Exception):
    def __init__(self, limit: int, prompt_tokens: int, answer_tokens: int) -> None:
        super().__init__("context length exceeded")
        self.limit, self.prompt_tokens, self.answer_tokens = limit, prompt_tokens, answer_tokens


class WrongMethod(Exception):
    def __init__(self, allowed: str) -> None:
        super().__init__(allowed)
        self.allowed = allowed


EXPECTED = (
    BadCredentials, UnknownKey, DirectoryAway, BodyTooLarge, BodyTooSlow, UnsupportedMedia, BadCall, UnknownModel,
    ContextLengthExceeded, NoHeadroom, SpoolFull, Unreachable, ProviderRefused, NotAReply, BrokenStream, WrongMethod,
    WrongAddress, UnpricedModel,
)  # fmt: skip


def tell(error: Exception, *, method: str, path: str, model: str = "", organization: str = "megadash") -> Told:  # noqa: C901 - a table
    """What an error of this table means to the caller."""
    match error:
        case BadCredentials(given=""):
            return Told(401, MISSING_KEY, headers=((b"www-authenticate", b"Bearer"),))
        case BadCredentials():
            return _wrong_key(error.given)
        case UnknownKey():
            return _wrong_key(str(error))
        case WrongAddress():
            message = f"Your request's IP address, {error}, is not on the list of addresses that may use this API key."
            return Told(401, message, INVALID, "ip_not_authorized", debug={"checked": "address", "address": str(error)})
        case DirectoryAway():
            return _overloaded(
                "Keys cannot be checked at the moment. Please try again.", {"checked": "key", "database": "away"}
            )
        case SpoolFull():
            return _overloaded(
                "Calls cannot be recorded at the moment. Please try again later.", {"checked": "spool", "spool": "full"}
            )
        case BodyTooLarge():
            return Told(
                413, "Request body too large: at most 10 MiB are accepted.", headers=((b"connection", b"close"),)
            )
        case BodyTooSlow():
            return Told(408, "The request body did not arrive in time.", headers=((b"connection", b"close"),))
        case UnsupportedMedia():
            return Told(415, f"Unsupported media type: {error}.")
        case BadCall():
            return Told(
                400, error.message, INVALID, error.code, error.param, debug={"checked": "body", "param": error.param}
            )
        case UnknownModel():
            message = f"The model `{model}` does not exist or you do not have access to it."
            return Told(404, message, INVALID, "model_not_found", "model", debug={"checked": "model", "model": model})
        case UnpricedModel():
            message = f"The model `{error}` has no price here yet, and calls of unknown cost are not allowed. {ASK}"
            debug = {"checked": "price", "model": str(error)}
            return Told(400, message, INVALID, "model_unpriced", "model", debug=debug)
        case ContextLengthExceeded():
            return _too_long(error)
        case NoHeadroom():
            return _no_headroom(error, error.model or model, organization)
        case WrongMethod():
            hint = f"(HINT: Perhaps you meant to make a {error.allowed} request instead?)"
            message = f"Not allowed to {method} on {path}. {hint}"
            return Told(405, message, INVALID, "method_not_supported", headers=((b"allow", error.allowed.encode()),))
        case ProviderRefused():
            return _provider_refused(error)
        case Unreachable():
            status = 504 if error.code == "upstream_timeout" else 502
            return Told(
                status, f"{SERVER_ERROR} ({error})", "server_error", error.code, debug={"provider_error": str(error)}
            )
        case NotAReply():
            return Told(
                502,
                f"{SERVER_ERROR} ({error})",
                "server_error",
                "upstream_garbled",
                debug={"provider_error": str(error)},
            )
        case BrokenStream():
            return _broken_stream(error)
        case _:
            return Told(500, SERVER_ERROR, "server_error")


def redacted(secret: str) -> str:
    """As OpenAI shows a wrong key: never more than its beginning and its last four characters."""
    visible = "".join(character if character.isprintable() and character != '"' else "?" for character in secret)
    return f"{visible[:3]}...****{visible[-4:]}" if len(visible) > 12 else "****"


def filled_by(error: NoHeadroom) -> dict[str, Any]:
    """Which keys filled the window: for the event, and not for the caller, whose key may be another's colleague."""
    return {"filled": [list(key) for key in error.filled.keys], "filled_total": error.filled.total}


def refusal_details(error: NoHeadroom) -> dict[str, Any]:
    """What the event of a refused call keeps, and what X-Debug shows."""
    return {
        "scope": error.scope.kind,
        "limit_name": error.limit_name,
        "limit": error.limit,
        "used": error.used,
        "asked": error.asked,
        "left": max(0, error.limit - error.used),
        "retry_after_ms": None if error.never_fits else error.wait_ms,
        "never_fits": error.never_fits,
    }


def _wrong_key(given: str) -> Told:
    message = f"Incorrect API key provided: {redacted(given)}. You can find your API keys on the dashboard's Keys page."
    return Told(
        401, message, INVALID, "invalid_api_key", headers=((b"www-authenticate", b"Bearer"),), debug={"checked": "key"}
    )


def _overloaded(message: str, debug: dict[str, Any]) -> Told:
    return Told(
        503,
        message,
        "service_unavailable_error",
        "server_is_overloaded",
        headers=((b"retry-after", b"1"),),
        debug=debug,
    )


def _too_long(error: ContextLengthExceeded) -> Told:
    if error.answer_tokens:
        message = (
            f"This model's maximum context length is {error.limit} tokens. However, you requested "
            f"{error.prompt_tokens + error.answer_tokens} tokens ({error.prompt_tokens} in the messages, "
            f"{error.answer_tokens} in the completion). Please reduce the length of the messages or completion."
        )
    else:
        message = (
            f"This model's maximum context length is {error.limit} tokens. However, your messages resulted in "
            f"{error.prompt_tokens} tokens. Please reduce the length of the messages."
        )
    debug = {"checked": "context", "context_length": error.limit, "prompt_tokens": error.prompt_tokens}
    return Told(400, message, INVALID, "context_length_exceeded", "messages", debug=debug)


def _no_headroom(error: NoHeadroom, model: str, organization: str) -> Told:
    where = f"{model} in organization {organization} on {UNITS[error.limit_name]}: Limit {error.limit}"
    kind = "requests" if error.limit_name == "concurrent" else error.limit_name
    debug = {"checked": "limits", **refusal_details(error)}
    if error.never_fits:
        message = (
            f"Request too large for {where}, Requested {error.asked}. The input or output tokens must be reduced "
            "in order to run successfully."
        )
        return Told(429, message, kind, "rate_limit_exceeded", headers=((b"x-should-retry", b"false"),), debug=debug)
    wait = f"{error.wait_ms}ms" if error.wait_ms < 1_000 else f"{error.wait_ms / 1_000:g}s"
    message = f"Rate limit reached for {where}, Used {error.used}, Requested {error.asked}. Please try again in {wait}."
    headers = (
        (b"retry-after", b"%d" % max(1, -(-error.wait_ms // 1_000))),
        (b"retry-after-ms", b"%d" % max(1, error.wait_ms)),
    )
    return Told(429, message, kind, "rate_limit_exceeded", headers=headers, debug=debug)


def _provider_refused(error: ProviderRefused) -> Told:
    """A provider's 4xx about the request reaches the caller; what is between it and us does not."""
    message, kind, param, code = _provider_error(error.body)
    debug = {"provider_status": error.status, "provider_request_id": error.request_id}
    if error.status in (401, 402, 403):
        message = "The provider refused this gateway's credentials. An administrator has to look at it."
        return Told(502, message, "server_error", "upstream_refused_credentials", debug=debug)
    if error.status == 429:
        message = message or "The provider's rate limit is reached. Please try again later."
        wait = error.retry_after if error.retry_after.isdigit() else "1"
        headers = ((b"retry-after", wait.encode()),)
        return Told(429, message, kind or "requests", code or "rate_limit_exceeded", param, headers, debug)
    if 400 <= error.status < 500:
        # 422 is no status of OpenAI's: SDKs have a class for 400.
        status = error.status if error.status in (400, 404, 409, 413, 415) else 400
        return Told(
            status, message or "The provider did not accept this request.", kind or INVALID, code, param, debug=debug
        )
    status = error.status if error.status in (500, 502, 503, 504) else 502
    return Told(status, message or SERVER_ERROR, "server_error", code, param, debug=debug)


def _broken_stream(error: BrokenStream) -> Told:
    given = error.provider_error
    message = given.get("message") if isinstance(given, dict) else None
    text = message if isinstance(message, str) else f"{SERVER_ERROR} ({error})"
    return Told(502, _without_keys(text), "server_error", error.code, debug={"provider_error": str(error)})


def _provider_error(body: bytes) -> tuple[str, str, str | None, str | None]:
    """Message, type, param and code of a provider's error body; empty where it says nothing usable."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return "", "", None, None
    error = given.get("error", given) if isinstance(given, dict) else given
    if isinstance(error, str):
        return _without_keys(error), "", None, None
    if not isinstance(error, dict):
        return "", "", None, None
    message, kind, param, code = (error.get(name) for name in ("message", "type", "param", "code"))
    return (
        _without_keys(message) if isinstance(message, str) else "",
        kind if isinstance(kind, str) else "",
        param if isinstance(param, str) else None,
        # An integer code breaks async-openai.
        str(code) if isinstance(code, str | int) and not isinstance(code, bool) else None,
    )


def _without_keys(message: str) -> str:
    """A provider that quotes a key quotes ours."""
    words = [word if "sk-" not in word else "[key]" for word in message[:2_000].split(" ")]
    return " ".join(words)

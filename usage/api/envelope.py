"""The form of every error of the API: all four keys, `code` a string or null (an integer breaks async-openai)."""

from typing import Any

INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"
OVERLOADED = "service_unavailable_error"
OUR_FAULT = "The server had an error while processing your request. Sorry about that!"
LONGEST_QUOTE = 200


def error(
    message: str, kind: str = INVALID_REQUEST, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def wrong_url(method: str | None, path: str) -> dict[str, Any]:
    return error(f"Invalid URL ({method} {path[:LONGEST_QUOTE]})")


def wrong_method(method: str | None, path: str) -> dict[str, Any]:
    message = f"Not allowed to {method} on {path[:LONGEST_QUOTE]}. See the Allow header for what is."
    return error(message, code="method_not_supported")


def for_status(status: int, method: str | None, path: str) -> dict[str, Any]:
    """For answers of Django itself, of which only the status is known."""
    if status == 404:
        return wrong_url(method, path)
    if status == 405:
        return wrong_method(method, path)
    if status >= 500:
        return error(OUR_FAULT, SERVER_ERROR)
    return error(MESSAGES.get(status, "We could not understand your request."))


MESSAGES = {
    401: "You didn't provide an API key.",
    403: "You are not allowed to do this.",
    413: "The body of your request is too large.",
    415: "The content type of your request is not supported. Send application/json.",
}

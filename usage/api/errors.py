"""What goes wrong in REST, and the one table that turns it into HTTP."""

from __future__ import annotations

import logging
import math
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from usage.api import envelope

logger = logging.getLogger(__name__)


class BadParameter(exceptions.APIException):
    """A parameter of the query string that cannot be understood, or is missing."""

    status_code = 400

    def __init__(self, param: str, message: str, code: str | None = "invalid_value") -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class NoKey(exceptions.AuthenticationFailed):
    def __init__(self) -> None:
        super().__init__(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY)."
        )


class WrongKey(exceptions.AuthenticationFailed):
    """Unknown, misspelt, revoked or expired: the answer does not tell which."""

    def __init__(self, shown: str) -> None:
        super().__init__(f"Incorrect API key provided: {shown}. Keys are made on the keys page of the dashboard.")


class WrongAddress(exceptions.AuthenticationFailed):
    """The key is right, the address it was sent from is not. In the gateway's own words."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"Your request's IP address, {address}, is not on the list of addresses that may use this API key."
        )


class MissingScope(exceptions.PermissionDenied):
    def __init__(self, scope: str) -> None:
        super().__init__(
            f"You have insufficient permissions for this operation. Missing scopes: {scope}. "
            "An ordinary API key cannot read the organization's numbers: use an admin key (sk-admin-...)."
        )


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. None lets Django log the error and answer 500.

    DRF's own texts are never used: they follow Accept-Language, and programs match on messages.
    """
    if isinstance(error, (OperationalError, InterfaceError)):
        logger.error("the database does not answer: %s", error)
        body = envelope.error("The database is not available at the moment. Try again.", envelope.OVERLOADED)
        return Response(body, status=503, headers={"retry-after": "1"})
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    return Response(_body(error, context["request"]), status=error.status_code, headers=_headers(error))


def _body(error: exceptions.APIException, request: Request) -> dict[str, Any]:
    match error:
        case BadParameter():
            return envelope.error(str(error), param=error.param, code=error.code)
        case WrongKey():
            return envelope.error(str(error), code="invalid_api_key")
        case WrongAddress():
            return envelope.error(str(error), code="ip_not_authorized")
        case NoKey() | MissingScope():
            return envelope.error(str(error))
        case exceptions.ParseError():
            return envelope.error("We could not parse the JSON body of your request.")
        case exceptions.Throttled():
            return envelope.error("Too many requests. Try again later.", "requests", code="rate_limit_exceeded")
        case exceptions.NotAuthenticated():
            return envelope.error(str(NoKey()))
    return envelope.for_status(error.status_code, request.method, request.path)


def _headers(error: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if auth_header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = auth_header
    if wait_s := getattr(error, "wait", None):
        headers["retry-after"] = str(math.ceil(wait_s))
    return headers

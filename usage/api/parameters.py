"""Reading the query string. Whatever is wrong is a BadParameter that names its parameter."""

from __future__ import annotations

import re
from collections.abc import Collection

from django.http import QueryDict

from usage.api.errors import BadParameter

# The last second that a date can name: later ones would overflow a calendar.
LATEST_S = 253_402_300_799
MOST_VALUES = 200
MOST_CHARACTERS = 512
WHOLE_NUMBER = re.compile(r"[0-9]{1,15}")
ROW_ID = re.compile(r"[0-9]{1,18}")


def text(query: QueryDict, name: str) -> str | None:
    """The one value; blank counts as not given."""
    values = [value for value in query.getlist(name) if value.strip()]
    if len(values) > 1:
        raise BadParameter(name, f"'{name}' was given more than once.")
    return _checked(name, values[0].strip()) if values else None


def choice(query: QueryDict, name: str, allowed: Collection[str], default: str) -> str:
    value = text(query, name) or default
    if value not in allowed:
        raise BadParameter(name, f"Invalid value: {value[:50]!r}. '{name}' must be one of: {', '.join(allowed)}.")
    return value


def integer(query: QueryDict, name: str, *, at_least: int, at_most: int) -> int | None:
    """Digits only: no sign, no fraction, no exponent, no `NaN`."""
    value = text(query, name)
    if value is None:
        return None
    if not WHOLE_NUMBER.fullmatch(value) or not at_least <= int(value) <= at_most:
        message = f"Invalid value: {value[:50]!r}. '{name}' must be a whole number from {at_least} to {at_most}."
        raise BadParameter(name, message)
    return int(value)


def moment_s(query: QueryDict, name: str) -> int | None:
    """A Unix time in seconds."""
    return integer(query, name, at_least=0, at_most=LATEST_S)


def span_s(query: QueryDict) -> tuple[int | None, int | None]:
    """`start_time`, inclusive, and `end_time`, exclusive."""
    start_s, end_s = moment_s(query, "start_time"), moment_s(query, "end_time")
    if start_s is not None and end_s is not None and end_s <= start_s:
        raise BadParameter("end_time", "'end_time' must be after 'start_time'.")
    return start_s, end_s


def boolean(query: QueryDict, name: str) -> bool | None:
    value = text(query, name)
    if value is None:
        return None
    if value.lower() not in ("true", "false"):
        raise BadParameter(name, f"Invalid value: {value[:50]!r}. '{name}' must be true or false.")
    return value.lower() == "true"


def several(query: QueryDict, name: str, allowed: Collection[str] | None = None) -> tuple[str, ...]:
    """An array in any of its encodings: `a[]=x&a[]=y` (the official SDKs), `a=x&a=y` and `a=x,y`. Without doubles."""
    joined = [*query.getlist(name), *query.getlist(f"{name}[]")]
    values = tuple(dict.fromkeys(part.strip() for value in joined for part in value.split(",") if part.strip()))
    if len(values) > MOST_VALUES:
        raise BadParameter(name, f"'{name}' takes at most {MOST_VALUES} values.")
    for value in values:
        _checked(name, value)
        if allowed is not None and value not in allowed:
            raise BadParameter(name, f"Invalid value: {value[:50]!r}. '{name}' takes: {', '.join(allowed)}.")
    return values


def several_ids(query: QueryDict, name: str, prefix: str) -> frozenset[int] | None:
    """`proj_12` -> 12. None when not given: no filter, which is not the same as an empty one."""
    values = several(query, name)
    for value in values:
        if not value.startswith(prefix) or not ROW_ID.fullmatch(value.removeprefix(prefix)):
            raise BadParameter(name, f"Invalid value: {value[:50]!r}. '{name}' takes ids that look like '{prefix}1'.")
    return frozenset(int(value.removeprefix(prefix)) for value in values) if values else None


def _checked(name: str, value: str) -> str:
    # PostgreSQL takes no NUL, and neither database takes half a surrogate pair.
    if len(value) > MOST_CHARACTERS or not value.isprintable():
        raise BadParameter(name, f"'{name}' is too long or has characters that cannot be printed.")
    return value

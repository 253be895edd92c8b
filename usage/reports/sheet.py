"""Calls as lines of a CSV file that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec

from usage.reports import events
from usage.reports.events import Record

# Columns whose text comes from people or providers: a spreadsheet must not take it for a formula.
FOREIGN_TEXT = (
    "team",
    "key",
    "end_user",
    "requested_model",
    "served_model",
    "upstream_model",
    "provider",
    "service_tier",
    "finish_reason",
    "error_code",
    "client_request_id",
    "upstream_request_id",
)
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_cell(text: str) -> str:
    """A spreadsheet would run a cell that begins like a formula, and names come from callers."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def lines(records: list[Record]) -> bytes:
    return _written([[_cell(name, value) for name, value in record.items()] for record in records])


def _written(rows: list[list[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def _cell(name: str, value: Any) -> Any:
    """Unknown is an empty cell, never 0."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode()
    return as_cell(value) if name in FOREIGN_TEXT else value


HEAD = _written([list(events.COLUMNS)])

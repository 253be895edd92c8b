"""A value that fits a JSON schema, the same each time. Covers what tools and structured outputs use."""

from __future__ import annotations

from typing import Any

# Past this depth only what is required is filled in, so that recursive schemas come to an end.
FULL_DEPTH = 3
MOST_DEPTH = 12
FORMATS = {
    "date": "2026-11-23",
    "date-time": "2026-11-23T09:00:00Z",
    "time": "09:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "0198c0de-0000-7000-8000-000000000001",
}
Schema = dict[str, Any]


class Filler:
    """Fills schemas; `hints` are words of the prompt, used in turn for strings."""

    def __init__(self, root: Schema, hints: list[str]) -> None:
        self.root = root
        self.hints = hints

    def fill(self) -> Any:
        return self._value(self.root, "value", 0)

    def _value(self, schema: Any, name: str, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > MOST_DEPTH:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        for choice in ("anyOf", "oneOf"):
            if schema.get(choice):
                return self._value(self._first_real(schema[choice], depth), name, depth + 1)
        return self._typed(_type_of(schema), schema, name, depth)

    def _typed(self, kind: str, schema: Schema, name: str, depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        if kind == "string":
            return self._string(schema, name)
        return True if kind == "boolean" else None

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        wanted = properties if depth < FULL_DEPTH else [name for name in properties if name in required]
        return {name: self._value(properties[name], name, depth + 1) for name in wanted}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        first = [self._value(item, name, depth + 1) for item in schema.get("prefixItems") or ()]
        least = int(schema.get("minItems") or 0)
        length = max(least, 1) if depth < FULL_DEPTH and schema.get("maxItems") != 0 else least
        items = schema.get("items")
        return first + [self._value(items, name, depth + 1) for _ in range(length - len(first)) if items]

    def _string(self, schema: Schema, name: str) -> str:
        if schema.get("format") in FORMATS:
            return FORMATS[schema["format"]]
        text = self.hints.pop(0) if self.hints else f"sandbox {name}"
        text = text.ljust(int(schema.get("minLength") or 0), ".")
        return text[: int(schema.get("maxLength") or len(text))]

    def _resolved(self, schema: Schema) -> Schema:
        """Follows `$ref` within the schema, and lays `allOf` over each other."""
        for _ in range(MOST_DEPTH):
            if "$ref" not in schema:
                break
            schema = self._referred(str(schema["$ref"]))
        if not schema.get("allOf"):
            return schema
        merged: Schema = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            part = self._resolved(part)
            merged |= part | {"properties": {**merged.get("properties", {}), **part.get("properties", {})}}
        return merged

    def _referred(self, reference: str) -> Schema:
        found: Any = self.root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _first_real(self, choices: list[Any], depth: int) -> Any:
        """The first choice that is not null; null itself once it gets deep."""
        real = [choice for choice in choices if not (isinstance(choice, dict) and choice.get("type") == "null")]
        has_null = len(real) < len(choices)
        return {"type": "null"} if not real or (has_null and depth >= FULL_DEPTH) else real[0]


def _type_of(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _number(schema: Schema, *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else 0.25)
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is None and "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + step
    if most is None and "exclusiveMaximum" in schema:
        most = schema["exclusiveMaximum"] - step
    number = least if least is not None else 7 if most is None else min(7, most)
    if schema.get("multipleOf"):
        # Up from the least, down from the most.
        number = (-(-number // step) if least is not None else number // step) * step
    return int(number) if whole else float(number)

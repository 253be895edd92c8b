"""Source code with its keywords, texts and comments marked by class; what the classes look like is in app.css."""

from __future__ import annotations

from functools import lru_cache

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Keyword, String, _TokenType

# A lexer reads about a megabyte a second: a pasted book is shown without colours.
MOST_MARKED = 50_000
CLASSES = ((Keyword, "hk"), (String, "hs"), (Comment, "hc"))


def marked(code: str, grammar: str) -> SafeString:
    """The text of the HTML is `code`, to the character."""
    if len(code) > MOST_MARKED:
        return escape(code)
    lexer = get_lexer_by_name(grammar, stripnl=False, ensurenl=False)
    # Everything is escaped; the classes are the three above.
    return mark_safe("".join(_span(kind, text) for kind, text in lexer.get_tokens(code)))  # noqa: S308


# For samples that are the same for everyone; never for what holds a secret or somebody's words.
marked_and_kept = lru_cache(maxsize=512)(marked)


def marked_changes(code: str) -> SafeString:
    """Lines that begin with `-` and `+` as removed and added; the sign itself is drawn by the style sheet."""
    lines = []
    for line in code.splitlines(keepends=True):
        tag = {"-": "del", "+": "ins"}.get(line[:1])
        text = escape(line[1:])
        lines.append(f"<{tag}>{text}</{tag}>" if tag else text)
    return mark_safe("".join(lines))  # noqa: S308 - escaped line by line


def _span(kind: _TokenType, text: str) -> str:
    name = next((name for base, name in CLASSES if kind in base), "")
    return f'<span class="{name}">{escape(text)}</span>' if name else escape(text)

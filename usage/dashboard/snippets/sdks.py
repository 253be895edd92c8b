"""The SDKs that samples are written for: how each writes a text, a key from the environment, a message, an option."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

# What must not stand in source code as it is: control and format characters, among them those that turn the direction
# of what follows, line and paragraph separators, halves of surrogate pairs.
UNPRINTABLE = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
Quote = Callable[[str], str]


@dataclass(frozen=True)
class Sdk:
    """`id` is in file names and addresses of tabs; `grammar` is a lexer's name of Pygments. `message` and `options` are
    templates; an option that is None cannot be set in this SDK's constructor."""

    id: str
    name: str
    grammar: str
    quote: Quote
    from_environment: str
    message: str
    roles: dict[str, str]
    options: dict[str, str]
    between_messages: str = "\n"
    between_options: str = "\n"

    def key(self, secret: str, variable: str) -> str:
        """The expression for a key: the secret itself, or read from the environment when there is none to show."""
        if secret:
            return secret if self.id == "curl" else self.quote(secret)
        return self.from_environment.replace("NAME", variable)


def _quoted(text: str, code_point: Callable[[int], str]) -> str:
    return '"' + "".join(SHORT.get(each) or _printable(each, code_point) for each in text) + '"'


def _printable(character: str, code_point: Callable[[int], str]) -> str:
    return code_point(ord(character)) if unicodedata.category(character) in UNPRINTABLE else character


def _is_half_a_pair(point: int) -> bool:
    return 0xD800 <= point <= 0xDFFF


def _sized(point: int) -> str:
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def _sized_and_whole(point: int) -> str:
    return "\\ufffd" if _is_half_a_pair(point) else _sized(point)


def _braced(point: int) -> str:
    return "\\u{fffd}" if _is_half_a_pair(point) else f"\\u{{{point:x}}}"


def _utf_16(point: int) -> str:
    if point <= 0xFFFF:
        return f"\\u{point:04x}"
    high, low = divmod(point - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"


def _in_shell(text: str) -> str:
    """JSON, within the single quotes of a shell."""
    return _quoted(text, _utf_16).replace("'", "'\\''")


PYTHON = Sdk(
    id="python",
    name="Python",
    grammar="python",
    quote=lambda text: _quoted(text, _sized),
    from_environment='os.environ["NAME"]',
    message='{"role": "ROLE", "content": TEXT},',
    roles={"system": "system", "user": "user", "assistant": "assistant"},
    options={"temperature": "temperature=VALUE,", "max_completion_tokens": "max_completion_tokens=VALUE,"},
)
NODE = Sdk(
    id="node",
    name="Node.js",
    grammar="javascript",
    quote=lambda text: _quoted(text, _braced),
    from_environment="process.env.NAME",
    message='{ role: "ROLE", content: TEXT },',
    roles=PYTHON.roles,
    options={"temperature": "temperature: VALUE,", "max_completion_tokens": "max_completion_tokens: VALUE,"},
)
GO = Sdk(
    id="go",
    name="Go",
    grammar="go",
    quote=lambda text: _quoted(text, _sized_and_whole),
    from_environment='os.Getenv("NAME")',
    message="{Role: openai.ChatMessageRoleROLE, Content: TEXT},",
    roles={"system": "System", "user": "User", "assistant": "Assistant"},
    options={"temperature": "Temperature: VALUE,", "max_completion_tokens": "MaxCompletionTokens: VALUE,"},
)
RUST = Sdk(
    id="rust",
    name="Rust",
    grammar="rust",
    quote=lambda text: _quoted(text, _braced),
    from_environment='std::env::var("NAME")?',
    message="ChatCompletionRequestROLEMessageArgs::default()\n    .content(TEXT)\n    .build()?\n    .into(),",
    roles=GO.roles,
    options={"temperature": ".temperature(VALUE)", "max_completion_tokens": ".max_completion_tokens(VALUEu32)"},
)
JAVA = Sdk(
    id="java",
    name="Java",
    grammar="java",
    quote=lambda text: _quoted(text, _utf_16),
    from_environment='System.getenv("NAME")',
    message=".addROLEMessage(TEXT)",
    roles=GO.roles,
    options={"temperature": ".temperature(VALUE)", "max_completion_tokens": ".maxCompletionTokens(VALUE)"},
)
CSHARP = Sdk(
    id="csharp",
    name="C#",
    grammar="csharp",
    quote=lambda text: _quoted(text, _sized),
    from_environment='Environment.GetEnvironmentVariable("NAME")',
    message="new Message(Role.ROLE, TEXT),",
    roles=GO.roles,
    options={"temperature": ", temperature: VALUE", "max_completion_tokens": ", maxTokens: VALUE"},
    between_options="",
)
CURL = Sdk(
    id="curl",
    name="curl",
    grammar="bash",
    quote=_in_shell,
    from_environment="$NAME",
    message='{"role": "ROLE", "content": TEXT}',
    roles=PYTHON.roles,
    options={
        "temperature": ',\n    "temperature": VALUE',
        "max_completion_tokens": ',\n    "max_completion_tokens": VALUE',
    },
    between_messages=",\n",
    between_options="",
)
SDKS = (PYTHON, NODE, GO, RUST, JAVA, CSHARP, CURL)

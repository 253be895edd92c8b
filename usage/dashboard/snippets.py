"""The first call, ready to paste, with this instance's address."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from usage.models import Model

PREFERRED = ("gpt-5-mini", "gpt-4o-mini", "gpt-3.5-turbo")
ANY_MODEL = "gpt-4o-mini"

PYTHON = """\
from openai import OpenAI

client = OpenAI(
    base_url="{base_url}",
    api_key="{secret}",
)
reply = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(reply.choices[0].message.content)"""

NODE = """\
import OpenAI from "openai";

const client = new OpenAI({{
  baseURL: "{base_url}",
  apiKey: "{secret}",
}});
const reply = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(reply.choices[0].message.content);"""

CURL = """\
curl {base_url}/chat/completions \\
  -H "Authorization: Bearer {secret}" \\
  -H "Content-Type: application/json" \\
  -d '{{
    "model": "{model}",
    "messages": [{{"role": "user", "content": "Hello"}}]
  }}'"""

LANGUAGES = (("python", "Python", PYTHON), ("node", "Node.js", NODE), ("curl", "curl", CURL))


def context(request: HttpRequest, secret: str = "<your key>") -> dict[str, Any]:  # noqa: S107 - a placeholder
    """`base_url` and `snippets`: (id, name, code). One query."""
    values = {"base_url": request.build_absolute_uri("/v1"), "secret": secret, "model": _a_model()}
    return {
        "base_url": values["base_url"],
        "snippets": [(language, name, code.format(**values)) for language, name, code in LANGUAGES],
    }


def _a_model() -> str:
    """A chat model that some provider answers for."""
    names = Model.objects.filter(
        enabled=True, kind=Model.Kind.CHAT, routes__enabled=True, routes__provider__enabled=True
    )
    served = set(names.values_list("name", flat=True))
    return next((name for name in PREFERRED if name in served), min(served, default=ANY_MODEL))

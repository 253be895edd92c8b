"""What `make run` prints: secrets once, then where things are."""

from usage.first_start import Shown

AS_GIVEN = "(as given in {})"

CREDENTIALS = """
First start. What was made is shown here once:

  Dashboard   {email}
  Password    {password}
  API key     {key}
  Admin key   {admin_key}
"""

READY = """
MegaDash is ready:  {url}
Upstream:           {upstream}
Logs:               {logs}

  from openai import OpenAI

  client = OpenAI(base_url="{url}/v1", api_key={key})
  answer = client.chat.completions.create(model="{model}", messages=[{{"role": "user", "content": "Hello"}}])
  print(answer.choices[0].message.content)

Ctrl-C stops everything.
"""

LATER = """
Passwords and keys were shown at the first start. Make a new key at {url}/keys;
a new password with: .venv/bin/python manage.py changepassword EMAIL
"""


def credentials(shown: Shown) -> str:
    return CREDENTIALS.format(
        email=shown.admin_email,
        password=shown.admin_password or AS_GIVEN.format("MEGADASH_ADMIN_PASSWORD"),
        key=shown.key or AS_GIVEN.format("MEGADASH_BOOTSTRAP_KEY"),
        admin_key=shown.admin_key or AS_GIVEN.format("MEGADASH_BOOTSTRAP_ADMIN_KEY"),
    )


def ready(url: str, upstream: str, logs: str, model: str, shown: Shown | None) -> str:
    if shown and shown.key:
        key = f'"{shown.key}"'
    else:
        key = '__import__("os").environ["MEGADASH_BOOTSTRAP_KEY"]' if shown else '"YOUR API KEY"'
    return READY.format(url=url, upstream=upstream, logs=logs, model=model, key=key) + (
        "" if shown else LATER.format(url=url)
    )

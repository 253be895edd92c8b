"""Settings come from the environment: each is documented, and a wrong one is one line, never a traceback."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
READERS = {"text", "choice", "integer", "url"}


def run_manage(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEGADASH_", "UPSTREAM_"))}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**kept, "MEGADASH_DATA_DIR": str(data_dir), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def variables_read() -> set[str]:
    """Every name that settings.py and environment.py ask the environment for."""
    names = set()
    for file in ("settings.py", "environment.py"):
        for node in ast.walk(ast.parse((ROOT / "megadash" / file).read_text())):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"[A-Z]+(_[A-Z]+)+", node.value)
            ):
                names.add(node.value)
    return {
        name for name in names if name.startswith(("MEGADASH_", "UPSTREAM_", "OPENAI_")) or name.endswith("_URL")
    } - {"STATIC_URL"}


def test_the_readme_lists_every_variable_and_no_other():
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert documented == variables_read()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MEGADASH_PORT", "abc"),
        ("MEGADASH_PORT", "70000"),
        ("MEGADASH_SECRET_KEY", "short"),
        ("MEGADASH_SECRET_KEY", ""),
        ("MEGADASH_DURABILITY", "eternal"),
        ("MEGADASH_GATEWAY_WORKERS", "4"),
        ("MEGADASH_DATA_DIR", "/dev/null/nowhere"),
        ("DATABASE_URL", "mysql://root@localhost/megadash"),
        ("VALKEY_URL", "memcached://localhost"),
        ("UPSTREAM_BASE_URL", "ftp://models.example.com"),
        ("MEGADASH_HOST", "no-such-host.invalid"),
        ("MEGADASH_PUBLIC_URL", "https://mega.example.com/path"),
        ("MEGADASH_EMAIL_URL", "smtp://user:secret@host:port"),
        ("MEGADASH_OIDC_ISSUER", "http://id.example.com"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(tmp_path, name, value):
    done = run_manage(tmp_path, "run", **{name: value})
    assert done.returncode != 0
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr

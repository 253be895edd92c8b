"""Every text has its Chinese, and a machine without msgfmt shows it."""

import io
import os
import urllib.request
from pathlib import Path

import pytest
from babel.messages import pofile
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from django.utils.translation.template import templatize

from tests.product import Running
from usage import translations

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
SIGN_IN_IN_CHINESE = "登录"


def test_what_is_translated_is_compiled_once_and_again_when_it_changes(tmp_path: Path) -> None:
    po = tmp_path / "source" / "zh_Hans" / "LC_MESSAGES" / "django.po"
    po.parent.mkdir(parents=True)
    po.write_text('msgid "call"\nmsgstr "调用"\n')
    mo = tmp_path / "data" / "zh_Hans" / "LC_MESSAGES" / "django.mo"
    assert translations.compile_all(tmp_path / "source", tmp_path / "data") == 1
    assert "调用".encode() in mo.read_bytes()
    assert translations.compile_all(tmp_path / "source", tmp_path / "data") == 0
    po.write_text('msgid "call"\nmsgstr "请求"\n')
    os.utime(po, ns=(mo.stat().st_mtime_ns + 1, mo.stat().st_mtime_ns + 1))
    assert translations.compile_all(tmp_path / "source", tmp_path / "data") == 1
    assert "请求".encode() in mo.read_bytes()


def test_after_the_setup_a_chinese_reader_is_asked_to_sign_in_in_chinese(product: Running) -> None:
    asked = urllib.request.Request(product.url + "/accounts/login/", headers={"accept-language": "zh-CN,zh;q=0.9"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=30) as answer:
        page = answer.read().decode()
    assert '<html lang="zh-Hans"' in page
    assert SIGN_IN_IN_CHINESE in page
    assert "Sign in" not in page


@pytest.mark.parametrize("folder", ["templates", "accounts", "usage", "megadash"])
def test_no_text_lacks_its_chinese(folder: str) -> None:
    with (LOCALE / "zh_Hans" / "LC_MESSAGES" / "django.po").open("rb") as file:
        chinese = pofile.read_po(file, locale="zh_Hans")
    known = {(message.context, _first(message.id)) for message in chinese if message.id and all(_strings(message))}
    assert (
        sorted({(context or "", text) for context, text in _texts(ROOT / folder) if (context, text) not in known}) == []
    )


def _strings(message: object) -> tuple[str, ...]:
    string = message.string  # type: ignore[attr-defined]
    return string if isinstance(string, tuple) else (string,)


def _texts(folder: Path) -> set[tuple[str | None, str]]:
    """(context, text) of everything marked for translation."""
    found = set()
    for path in (*folder.rglob("*.py"), *folder.rglob("*.html")):
        # Django's own reading of a template: everything but what is translated becomes noise.
        source = templatize(path.read_text()) if path.suffix == ".html" else path.read_text()
        for _line, message, _comments, context in extract("python", io.BytesIO(source.encode()), DEFAULT_KEYWORDS):
            found.add((context, _first(message)))
    return found


def _first(message: str | tuple[str, ...]) -> str:
    """The singular, which is the key."""
    return message if isinstance(message, str) else message[0]

"""The texts of locale/ as Django reads them. Compiled here, because a fresh machine has no msgfmt."""

from __future__ import annotations

from pathlib import Path

from babel.messages import mofile, pofile


def compile_all(source: Path, target: Path) -> int:
    """`source`/<language>/LC_MESSAGES/django.po -> the same below `target` as .mo; gives how many were compiled.

    One that is newer than its .po is left alone.
    """
    outdated = [(po, mo) for po, mo in _pairs(source, target) if _is_outdated(po, mo)]
    for po, mo in outdated:
        _compile(po, mo)
    return len(outdated)


def _pairs(source: Path, target: Path) -> list[tuple[Path, Path]]:
    found = sorted(source.glob("*/LC_MESSAGES/django.po"))
    return [(po, target / po.relative_to(source).with_suffix(".mo")) for po in found]


def _is_outdated(po: Path, mo: Path) -> bool:
    return not mo.exists() or mo.stat().st_mtime_ns < po.stat().st_mtime_ns


def _compile(po: Path, mo: Path) -> None:
    mo.parent.mkdir(parents=True, exist_ok=True)
    with po.open("rb") as file:
        # Django's name of the language, such as zh_Hans, comes from the folder.
        catalog = pofile.read_po(file, locale=po.parent.parent.name)
    # Renamed into place: a page being served must not read half a file.
    fresh = mo.with_suffix(".mo.new")
    with fresh.open("wb") as file:
        mofile.write_mo(file, catalog)
    fresh.replace(mo)

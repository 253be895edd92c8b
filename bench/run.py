"""`make bench`: what a call through the product costs, beside nginx in the same run. See docs/benchmarks.md."""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import figures, nginx
from bench.product import ROOT, Product
from bench.rounds import FULL, QUICK, Rounds, Target, started_upstream


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough run of about a minute")
    length = QUICK if parser.parse_args().quick else FULL
    if nginx.binary() is None:
        print(
            "nginx is not installed, and every figure here is measured beside it: install Debian's or Homebrew's nginx."
        )
        return 2
    if not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2:
        print("Linux and two CPU cores are needed: one for the gateway, one for the load and the provider.")
        return 2
    with tempfile.TemporaryDirectory(prefix="megadash-bench-") as folder, ExitStack() as stack:
        upstream_port = started_upstream(stack)
        peer = nginx.Nginx(Path(folder), upstream_port)
        stack.callback(peer.stop)
        product = stack.enter_context(Product(Path(folder) / "data", upstream_port))
        found = Rounds(length, product, peer, Target(upstream_port, [])).measure()
    figures.show(found)
    figures.keep(found, ROOT / "bench" / "results")
    return 0 if all(figure.is_met for figure in found) else 1


if __name__ == "__main__":
    sys.exit(main())

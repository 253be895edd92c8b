"""Runs samples in turn, each as a program of its own would run, and prints what they said: `run_samples.py JOBS`.

JOBS is JSON: a list of [name, path, environment]. One interpreter for all, because loading the SDK takes longest.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import traceback

said = {}
for name, path, environment in json.loads(sys.argv[1]):
    os.environ.update(environment)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            runpy.run_path(path, run_name="__main__")
        except Exception:  # noqa: BLE001 - whatever a sample raises is told
            traceback.print_exc(file=out)
            out.write("FAILED")
    said[name] = out.getvalue()
print(json.dumps(said))

"""The programs of one instance, and supervisord over them."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

# A stream may run this long after SIGTERM; supervisord waits a little longer than the gateway itself does.
DRAIN_S = 600
PYTHON = sys.executable
HERE = Path(__file__).resolve().parent.parent
MANAGE = str(HERE / "manage.py")


class Program(NamedTuple):
    name: str
    command: tuple[str, ...]
    stop_within_s: int


def programs(ip: str, port: int, sandbox_port: int | None) -> list[Program]:
    """In the order of their start; they stop in reverse, so the shipper still ships what the gateway wrote last."""
    quiet = ("--loglevel", "WARNING")
    found = [Program("shipper", (PYTHON, MANAGE, "ship"), 30)]
    if sandbox_port:
        found.append(Program("sandbox", (PYTHON, MANAGE, "sandbox", "--port", str(sandbox_port)), 10))
    celery = (PYTHON, "-m", "celery", "-A", "megadash")
    # Its loop hears a signal only every two seconds; its tasks are short, and come again if one is cut off.
    worker = (*celery, "worker", "--pool", "solo", *quiet, "--without-mingle", "--without-gossip")
    found.append(Program("celery", worker, 1))
    # Not embedded with `worker -B`: nobody would bring an embedded one back when it is killed.
    found.append(Program("beat", (*celery, "beat", *quiet, "--pidfile="), 5))
    found.append(Program("gateway", (PYTHON, MANAGE, "gateway", "--host", ip, "--port", str(port)), DRAIN_S + 10))
    return found


def config(found: Iterable[Program], directory: Path) -> str:
    """supervisord's configuration: no HTTP port, logs that rotate, and no giving up on a program that dies."""
    log = directory / "log"
    lines = [
        "[supervisord]",
        "nodaemon = true",
        "loglevel = warn",
        f"logfile = {_escaped(log / 'supervisord.log')}",
        "logfile_maxbytes = 1MB",
        "logfile_backups = 1",
        f"pidfile = {_escaped(directory / 'supervisord.pid')}",
        f"childlogdir = {_escaped(log)}",
    ]
    if os.geteuid() == 0:
        lines.append(f"user = {getpass.getuser()}")  # says that root is meant
    for place, program in enumerate(found, start=1):
        lines += _section(program, place, log)
    return "\n".join(lines) + "\n"


def _section(program: Program, place: int, log: Path) -> list[str]:
    return [
        "",
        f"[program:{program.name}]",
        f"command = {_escaped(shlex.join(program.command))}",
        f"priority = {place}",
        "autorestart = true",
        "startsecs = 1",
        # Never given up: usage/supervisord.py keeps the count of failed starts below this.
        "startretries = 10",
        f"stopwaitsecs = {program.stop_within_s}",
        "killasgroup = true",
        "redirect_stderr = true",
        f"stdout_logfile = {_escaped(log / f'{program.name}.log')}",
        "stdout_logfile_maxbytes = 10MB",
        "stdout_logfile_backups = 3",
    ]


def _escaped(value: object) -> str:
    return str(value).replace("%", "%%")


class Supervision:
    """One running supervisord. It leads a session of its own, so that Ctrl-C reaches it only through `stop`."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            [PYTHON, "-m", "usage.supervisord", str(directory / "supervisord.conf")],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask; programs end in their own time."""
        if self.is_running:
            self._process.terminate()

    def kill(self) -> None:
        """End whatever is left, also what a killed supervisord left behind."""
        for pid in _members(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _members(session: int) -> list[int]:
    return [pid for pid in _process_ids() if _session_of(pid) == session]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:  # it ended meanwhile, or is none of ours
        return None


def _process_ids() -> list[int]:
    if Path("/proc/self").exists():  # small Linux images have no `ps`
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    listed = subprocess.run(["/bin/ps", "-axo", "pid="], capture_output=True, text=True, check=True)
    return [int(line) for line in listed.stdout.split()]

"""`python -m usage.supervisord CONFIG`: supervisord, quicker to notice a death, and not outliving who started it."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import Any

from supervisor.medusa import asyncore_25 as asyncore  # type: ignore[import-untyped]
from supervisor.options import ServerOptions  # type: ignore[import-untyped]
from supervisor.supervisord import Supervisor  # type: ignore[import-untyped]

# supervisord looks at its programs once a second; a killed gateway should not wait for that.
LOOK_EVERY_S = 0.1
# It waits a second longer after each failed start, and gives up after `startretries`; here the wait stays at this.
LONGEST_PAUSE_S = 3
# When whoever started it is gone, nobody waits for running streams either.
ORPHANS_END_WITHIN_S = 10


def main(config: str) -> None:
    options = ServerOptions()
    options.realize(["--nodaemon", "--configuration", config])
    options.first, options.test = True, False
    supervisor = Supervisor(options)
    options.poller = QuickPoller(options.poller, supervisor)
    stop_when_orphaned(supervisor)
    with suppress(asyncore.ExitNow):  # how it says that everything has stopped
        supervisor.main()


class QuickPoller:
    """Stands in for supervisord's poller, called on each round between noticing deaths and starting programs."""

    def __init__(self, poller: Any, supervisor: Supervisor) -> None:
        self.poller = poller
        self.supervisor = supervisor
        self.pids: dict[str, int] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.poller, name)

    def poll(self, timeout: float) -> Any:
        for group in self.supervisor.process_groups.values():
            for name, process in group.processes.items():
                process.backoff = min(process.backoff, LONGEST_PAUSE_S - 1)
                self._end_orphans(name, process.pid)
        return self.poller.poll(min(timeout, LOOK_EVERY_S))

    def _end_orphans(self, name: str, pid: int) -> None:
        """A killed program leaves its workers behind, with its port and files; each program leads a process group."""
        former = self.pids.get(name, 0)
        self.pids[name] = pid
        if former and former != pid:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
                os.killpg(former, signal.SIGKILL)


def stop_when_orphaned(supervisor: Supervisor) -> None:
    """With a timer, not a thread: supervisord forks, and a timer is not inherited."""
    parent = os.getppid()
    asked = False

    def look(signum: int, frame: FrameType | None) -> None:
        nonlocal asked
        if os.getppid() == parent:
            return
        if asked:
            # A gateway that was still starting does not hear SIGTERM, and would be waited for as if it had streams.
            end_all(supervisor)
        else:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.setitimer(signal.ITIMER_REAL, ORPHANS_END_WITHIN_S, 1)
            asked = True

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)


def end_all(supervisor: Supervisor) -> None:
    for group in supervisor.process_groups.values():
        for process in group.processes.values():
            if process.pid:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1])

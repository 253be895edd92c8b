"""What /proc says of a running process, and how to end it for certain."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import psutil


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], patience_s: float = 15) -> None:
    give_up_at = time.monotonic() + patience_s
    while time.monotonic() < give_up_at and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"Nothing listens on port {port}; the process says {process.poll()}.")


def pin(process: psutil.Process, cpus: Iterable[int]) -> None:
    """Every thread, since the affinity of a process is that of its first thread only."""
    for thread in process.threads():
        os.sched_setaffinity(thread.id, cpus)


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """User and system time so far, of all threads."""
    total = 0.0
    for process in processes:
        times = process.cpu_times()
        total += times.user + times.system
    return total


def open_files_under(process: psutil.Process, prefix: str) -> int:
    """Descriptors open on files whose path begins so: a SQLite file, its journal and its WAL."""
    count = 0
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            count += os.readlink(link).startswith(prefix)
        except FileNotFoundError:
            continue
    return count


def end(process: subprocess.Popen[bytes], patience_s: float = 5) -> None:
    """TERM, and KILL for one that does not listen."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

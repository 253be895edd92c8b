"""The product as anyone starts it: `manage.py run`, which sets itself up, configured by environment variables alone."""

import http.client
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench import processes

ROOT = Path(__file__).resolve().parent.parent
KEY = "bench-adas-first-key"
ADMIN_KEY = "bench-finances-admin-key"
# Counting the lines that run would take longer than running them: tests that want it say so.
COVERAGE = "COVERAGE_PROCESS_CONFIG"
OURS = (COVERAGE, "MEGADASH_", "UPSTREAM_", "OPENAI_", "DATABASE_URL", "VALKEY_URL", "DJANGO_", "GRANIAN_")


class Product:
    """Started in `data_dir`, in front of the provider on `upstream_port`; use `with` so that nothing stays behind."""

    def __init__(self, data_dir: Path, upstream_port: int, **settings: str) -> None:
        self.data_dir = data_dir.resolve()
        self.port = processes.free_port()
        self.key, self.admin_key = KEY, ADMIN_KEY
        self.log_path = self.data_dir.parent / f"{self.data_dir.name}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.environment = inherited | {
            "MEGADASH_PORT": str(self.port),
            "MEGADASH_DATA_DIR": str(self.data_dir),
            "MEGADASH_ADMIN_EMAIL": "grace@example.com",
            "MEGADASH_ADMIN_PASSWORD": "a long enough password",
            "MEGADASH_BOOTSTRAP_KEY": KEY,
            "MEGADASH_BOOTSTRAP_TIER": "Enterprise",
            "MEGADASH_BOOTSTRAP_ADMIN_KEY": ADMIN_KEY,
            "MEGADASH_DURABILITY": "process",
            "UPSTREAM_BASE_URL": f"http://127.0.0.1:{upstream_port}/v1",
            "UPSTREAM_API_KEY": "sk-upstream",
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Product":
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _start(self) -> None:
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self._manage("run"), cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait_until_ready()

    def wait_until_ready(self, patience_s: float = 90) -> None:
        give_up_at = time.monotonic() + patience_s
        while time.monotonic() < give_up_at:
            if self.process is None or self.process.poll() is not None:
                break
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"The product does not answer. Its log:\n{self.log()}")

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")[-4000:]

    def get(self, path: str, key: str, timeout_s: float = 60) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path, headers={"authorization": f"Bearer {key}"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def all_processes(self) -> list[psutil.Process]:
        """Recognised by their data directory, so that orphans of a killed parent are found too."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("MEGADASH_DATA_DIR") == str(self.data_dir):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def gateway_main(self) -> psutil.Process:
        """Granian's own process, the parent of its worker."""
        return self.gateway()[0]

    def gateway_worker(self) -> psutil.Process:
        return self.gateway()[-1]

    def gateway(self) -> list[psutil.Process]:
        """Granian's process and its worker, in this order; the worker is the larger of its children."""
        mains = [process for process in self.all_processes() if _is_granian_main(process)]
        if not mains:
            raise psutil.NoSuchProcess(0, "granian")
        workers = sorted(mains[-1].children(), key=lambda child: child.memory_info().rss)
        return [mains[-1], *workers[-1:]]

    def shipper(self) -> psutil.Process:
        for process in self.all_processes():
            if process.cmdline()[-1:] == ["ship"]:
                return process
        raise psutil.NoSuchProcess(0, "shipper")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for process in self.all_processes():
            if process.pid != os.getpid():
                process.kill()

    def _answers(self) -> bool:
        try:
            return self.get("/v1/models", self.key, timeout_s=2)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    @staticmethod
    def _manage(command: str) -> list[str]:
        return [sys.executable, str(ROOT / "manage.py"), command]


def _is_granian_main(process: psutil.Process) -> bool:
    try:
        parent = process.parent()
        return _mentions_granian(process) and not (parent and _mentions_granian(parent))
    except psutil.NoSuchProcess:
        return False


def _mentions_granian(process: psutil.Process) -> bool:
    return any(word in ("gateway", "granian") for word in process.cmdline()[:4])

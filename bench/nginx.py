"""The peer: nginx as a reverse proxy that does nothing else. No logs, one worker, keep-alive on both sides."""

import os
import shutil
import subprocess
from pathlib import Path

import psutil

from bench import processes

CONFIGURATION = """
daemon off;
worker_processes 1;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    upstream provider {{
        server 127.0.0.1:{upstream_port};
        keepalive 1024;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
    server {{
        listen 127.0.0.1:{stream_port};
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""


def binary() -> str | None:
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


class Nginx:
    """`port` buffers answers as nginx does by default; `stream_port` passes each chunk on at once."""

    def __init__(self, folder: Path, upstream_port: int) -> None:
        path = binary()
        if path is None:
            raise FileNotFoundError("nginx")
        self.port, self.stream_port = processes.free_port(), processes.free_port()
        text = CONFIGURATION.format(
            folder=folder,
            # As root, the worker would become `nobody`, who may not write in the folder.
            user="user root;" if os.geteuid() == 0 else "",
            port=self.port,
            stream_port=self.stream_port,
            upstream_port=upstream_port,
        )
        configuration = folder / "nginx.conf"
        configuration.write_text(text)
        self.process = subprocess.Popen([path, "-p", folder, "-c", configuration], stderr=subprocess.DEVNULL)
        processes.wait_for_port(self.port, self.process)

    def measured(self) -> list[psutil.Process]:
        """The worker, and the master that does nothing: as the gateway's worker and its parent."""
        master = psutil.Process(self.process.pid)
        return [master, *master.children()]

    def stop(self) -> None:
        processes.end(self.process)

"""Whether an address can be listened on, said in the words of the setting that chose it."""

import errno
import socket

from django.core.exceptions import ImproperlyConfigured

EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - translated to what a browser can open


def listening_ip(host: str) -> str:
    """MEGADASH_HOST as the IP address it names."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError) as error:
        raise ImproperlyConfigured(f"MEGADASH_HOST is {host!r}, which is no address of this machine.") from error


def refuse_if_taken(ip: str, port: int) -> None:
    failure = _failure_to_bind(ip, port)
    if failure == errno.EADDRINUSE:
        raise ImproperlyConfigured(f"MEGADASH_PORT is {port}, but something already listens on {ip}:{port}.")
    if failure == errno.EACCES:
        raise ImproperlyConfigured(f"MEGADASH_PORT is {port}, but this user may not listen on it.")
    if failure:
        raise ImproperlyConfigured(f"MEGADASH_HOST is {ip!r}, which is no address of this machine.")


def is_free(port: int) -> bool:
    return not _failure_to_bind("127.0.0.1", port)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def url(ip: str, port: int) -> str:
    """For people and their SDKs on this machine."""
    reachable = EVERY_ADDRESS.get(ip, ip)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _failure_to_bind(ip: str, port: int) -> int:
    with socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET) as listener:
        # As servers do: connections that linger after a restart must not count as a listener.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((ip, port))
            listener.listen(1)
        except OSError as error:
            return error.errno or errno.EADDRNOTAVAIL
    return 0

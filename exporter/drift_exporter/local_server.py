"""Programs that serve on loopback for us: started, ready, and gone afterwards.

Knows processes and ports; never which program it is. Start them from the main thread: they are
told to end when the thread that started them does.
"""

import http
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

READY_WITHIN_SECONDS = 60.0
"""A program that ends is not waited for; one that is slow, on a busy machine, is."""

ENDED_WITHIN_SECONDS = 20.0
POLL_SECONDS = 0.05

# The program becomes the server (same pid) after it asked the kernel for SIGTERM at its
# parent's death, so that not even a killed command leaves servers behind. Not a preexec_fn:
# that may deadlock in a process with threads.
_ENDS_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the command is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


def free_address() -> str:
    """Host and port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def local_server(command: Sequence[str], address: str, log: Path) -> Iterator[bool]:
    """Run a server for the time of the body; whether it got ready.

    Parameters
    ----------
    command
        The program, by its path, and its arguments.
    address
        Host and port on which it answers ``/-/ready``.
    log
        Gets what it writes.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - whoever calls has found the program on the PATH
            [sys.executable, "-I", "-S", "-c", _ENDS_WITH_PARENT, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for the command, which then ends its servers in order.
            start_new_session=True,
        )
    try:
        yield _ready(process, address)
    finally:
        process.terminate()
        try:
            process.wait(ENDED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], address: str) -> bool:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(address):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _answers(address: str) -> bool:
    # Not urllib: it would ask the proxy of the environment for a loopback address.
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()

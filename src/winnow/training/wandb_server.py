"""Whether runs can be sent to a wandb server: asked in seconds, where wandb itself may wait for minutes."""

import netrc
import os
import socket
import threading
from urllib.parse import ParseResult, urlparse

SECONDS = 2.0


def address() -> ParseResult:
    """Of the server that wandb is told of, or its makers'."""
    return urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))


def answers() -> bool:
    """Whether the server takes a connection, at most SECONDS after it is asked.

    In a thread, since the look-up of a name has no time-out of its own and can take half a minute without a network.
    """
    asked, connected = address(), threading.Event()
    port = asked.port or (80 if asked.scheme == "http" else 443)

    def connect() -> None:
        try:
            with socket.create_connection((asked.hostname or "", port), timeout=SECONDS):
                connected.set()
        except OSError:
            pass

    thread = threading.Thread(target=connect, daemon=True, name="ask wandb")
    thread.start()
    thread.join(SECONDS)
    return connected.is_set()


def has_key() -> bool:
    """Whether wandb will find a key for the server without asking: in its variable or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(address().netloc) is not None
    except (OSError, netrc.NetrcParseError):
        return False

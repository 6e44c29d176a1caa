"""Messages between this process and the one it started, over a pair of pipes.

Large arrays follow a message as they lie in memory: no copy is pickled, and no shared memory is left behind by a crash
or too small in a container. What is pickled passes between two processes of one program and never touches a disk.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from enum import IntEnum
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from io import RawIOBase

Buffer = bytes | bytearray | memoryview
Buffers = Sequence[Buffer]

SMALL = 1 << 16
"""Buffers below this many bytes are pickled with the rest."""
CHUNK = 1 << 20
"""Bytes handed to a pipe at once: one call must not keep Ctrl+C waiting."""
HEAD = struct.Struct("<BI")
LENGTH = struct.Struct("<Q")


class Kind(IntEnum):
    """What a message is: the first two go to the worker, the others come back."""

    JOB = 1
    STOP = 2
    PROGRESS = 3
    RESULT = 4
    FAILED = 5
    STOPPED = 6


class Channel:
    """Sends and receives messages. Several threads may send, one may receive.

    Parameters
    ----------
    incoming, outgoing : RawIOBase
        Unbuffered ends of two pipes.
    """

    def __init__(self, incoming: RawIOBase, outgoing: RawIOBase) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = Lock()

    def send(self, kind: Kind, parts: Buffers = ()) -> None:
        """Send a message, waiting until the other side took it. OSError when the other side is gone."""
        head = HEAD.pack(kind, len(parts)) + b"".join(LENGTH.pack(len(part)) for part in parts)
        with self._sending:
            for part in (head, *parts):
                self._write(memoryview(part))

    def receive(self) -> tuple[Kind, list[bytearray]]:
        """Wait for a message. EOFError when the other side is gone."""
        kind, count = HEAD.unpack(self._read(HEAD.size))
        lengths = [LENGTH.unpack(self._read(LENGTH.size))[0] for _ in range(count)]
        return Kind(kind), [self._read(length) for length in lengths]

    def close_incoming(self) -> None:
        """Let go of the pipe that is received from."""
        self._incoming.close()

    def _write(self, part: memoryview) -> None:
        done = 0
        while done < len(part):
            done += self._outgoing.write(part[done : done + CHUNK]) or 0

    def _read(self, length: int) -> bytearray:
        part = bytearray(length)
        view, done = memoryview(part), 0
        while done < length:
            count = self._incoming.readinto(view[done:])
            if not count:
                raise EOFError("the other side is gone")
            done += count
        return part


def pack(value: Any) -> Buffers:
    """Buffers of a message that hold a value. The large ones are views of it: it must not change until they are sent.

    Raises whatever pickling raises when the value cannot be sent.
    """
    buffers: list[memoryview] = []

    def keep_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = buffer.raw()
        if view.nbytes < SMALL:
            return True
        buffers.append(view)
        return False

    body = pickle.dumps(value, protocol=5, buffer_callback=keep_in_band)
    return [body, *buffers]


def unpack(parts: Buffers) -> Any:
    """Value of the parts of a message. Its large arrays live in them."""
    body, *buffers = parts
    return pickle.loads(body, buffers=buffers)

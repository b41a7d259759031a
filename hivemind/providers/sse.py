"""Lines and server-sent events out of raw chunks: linear in what arrives, bounded in what is kept."""

from collections.abc import Iterator

from hivemind.providers.failures import CallFailed

MAX_LINE_BYTES = 1 << 20


class Lines:
    """Splits chunks into lines without their ends; keeps no more than one unfinished line."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._rest = bytearray()
        self._max = max_line_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that this chunk completes."""
        if chunk.find(b"\n") < 0:
            self._keep(chunk)
            return []
        first, *lines = chunk.split(b"\n")
        self._keep(first)
        whole = [bytes(self._rest), *lines]
        self._rest = bytearray()
        self._keep(whole.pop())
        return [line[:-1] if line.endswith(b"\r") else line for line in whole]

    def finish(self) -> bytes:
        """Return what came after the last line end."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest

    def _keep(self, piece: bytes) -> None:
        if len(self._rest) + len(piece) > self._max:
            raise CallFailed("malformed", f"a line of more than {self._max} bytes")
        self._rest += piece


class Events:
    """Yields the data of each server-sent event; names, ids and comments are of no use here."""

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._lines = Lines(max_line_bytes)
        self._data: list[bytes] = []
        self._size = 0
        self._max = max_line_bytes

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the data of every event that this chunk completes."""
        for line in self._lines.feed(chunk):
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    self._data, self._size = [], 0
                    yield data
            elif line.startswith(b"data:"):
                self._size += len(line)
                if self._size > self._max:
                    raise CallFailed("malformed", f"an event of more than {self._max} bytes")
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])

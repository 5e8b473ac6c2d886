"""Standard output as the verbs see it: what cannot be shown is escaped, what is lost is said."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, TextIO

from cgsim.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class PlainText:
    """A text stream that passes on nothing that a terminal obeys, but for lines and tabs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None
        """The first that went wrong; argparse takes no notice of it."""

    def write(self, text: str) -> int:
        """Write `text`, escapes and control characters escaped."""
        if not text.isprintable():
            lines = text.split("\n")
            text = "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)
        encoding = self._stream.encoding or "utf-8"
        try:
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except OSError as error:
            self.failure = self.failure or error
            raise _named(error) from None

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        """All else is the stream's own."""
        return getattr(self._stream, name)


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Within the block standard output is `PlainText`; at its end all of it has been written.

    Raises OSError, `filename` being "standard output", where it is closed or cannot be written.
    """
    stream = sys.stdout
    if stream is None:
        raise OSError(9, "is closed", "standard output")
    plain = PlainText(stream)
    sys.stdout = plain  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout = stream
        try:
            stream.flush()
        except OSError as error:
            plain.failure = plain.failure or error
        if plain.failure is not None:
            _discard(stream)
            raise _named(plain.failure) from None


def _named(error: OSError) -> OSError:
    """The error with the name of what could not be written."""
    return type(error)(error.errno, error.strerror, "standard output")


def complain(message: str) -> None:
    """Write a line to standard error; where that is closed or full there is nobody to tell."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(message.encode("utf-8", "backslashreplace").decode(), file=sys.stderr, flush=True)


def _discard(stream: TextIO) -> None:
    """Let what is still in the stream's buffer go nowhere, or Python complains at its end."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        stream.flush()

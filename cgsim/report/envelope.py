"""What stands around a mail's text: what it answers, its headers, and the mbox of it.

Nothing is sent. An mbox is for `git send-email`, `mutt -f` or `git am`'s parser; headers are ASCII,
the body is plain text, 7 bit.
"""

from __future__ import annotations

import email.policy
import email.utils
import re
from dataclasses import dataclass, replace
from email.parser import BytesParser
from email.quoprimime import body_encode
from html import escape
from pathlib import Path
from typing import Any

from cgsim.errors import UserError, out_of_range, shown
from cgsim.files import write_atomically
from cgsim.report import text
from cgsim.report.manifest import now
from cgsim.studies.leave import place_for

SUBJECT = (
    "Re: [Intel-gfx] [PATCH v3 1/6] cgroup: Allow registration and lookup of cgroup private data"
)
_PLAIN = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "--",
     "\u2026": "...", "\u00a0": " "}
)  # fmt: skip
_FROM = re.compile(r"^(>*)From ", re.MULTILINE)
_ENCODED_COLUMNS = 74  # and two more for an escape, of the 76 that are allowed
_ID = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")


@dataclass(frozen=True)
class Answered:
    """The mail that is answered: its id, those before it, and what is quoted of it.

    quoted : lines with their marks of quotation, the attribution first; "" for the thread's own.
    """

    subject: str = SUBJECT
    message_id: str = ""
    references: tuple[str, ...] = ()
    quoted: str = ""


def message_id(value: str) -> str:
    """A Message-ID in its brackets; raises UserError for anything else."""
    found = value.strip()
    if not found.startswith("<"):
        found = f"<{found}>"
    if not _ID.fullmatch(found):
        raise out_of_range("mail", "in_reply_to", value, "a Message-ID: <something@somewhere>")
    return found


def read_mail(path: Path, lines: tuple[int, int] | None = None) -> Answered:
    """The mail in a file (one message, as `mutt` or lore save it, or plain text), to be answered.

    lines : first and last line of its text that are quoted, from 1; None: all.

    Raises UserError for a file that cannot be read, has no text, or has no such lines.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    parsed = BytesParser(policy=email.policy.default).parsebytes(re.sub(rb"\AFrom .*\n", b"", data))
    is_message = "from" in parsed or "message-id" in parsed
    body = parsed.get_body(("plain",)) if is_message else None
    if is_message and body is None:
        raise UserError(f"{path}: a mail without plain text; save its text/plain part")
    said = data.decode("utf-8", "replace")
    if body is not None:
        charset = body.get_content_charset("utf-8")
        try:
            said = bytes(body.get_payload(decode=True)).decode(charset, "replace")  # type: ignore[arg-type]
        except LookupError:
            raise UserError(f"{path}: charset {shown(charset)} is not known") from None
    own_lines = said.rstrip().splitlines()
    if not own_lines:
        raise UserError(f"{path}: holds no text to quote")
    first, last = lines or (1, len(own_lines))
    if not 1 <= first <= last <= len(own_lines):
        raise UserError(f"{path}: lines {first}-{last}; allowed: within 1-{len(own_lines)}")
    quoted = text.quote("\n".join(map(_ascii, own_lines[first - 1 : last])))
    long = [line for line in quoted.splitlines() if len(line) > text.MAIL_COLUMNS]
    if long:
        raise UserError(f"{path}: a quoted line has more than 75 columns: {long[0]!r}")
    if not is_message:
        return Answered(quoted=quoted)
    who = email.utils.parseaddr(str(parsed.get("from", "")))[0] or "you"
    wrote = f"On {parsed['date']}, {who} wrote:" if parsed["date"] else f"{who} wrote:"
    subject = _ascii(" ".join(str(parsed.get("subject", SUBJECT)).split()))
    own = _ID.search(str(parsed.get("message-id", "")))
    return Answered(
        subject=subject if subject.lower().startswith("re:") else f"Re: {subject}",
        message_id=own.group() if own else "",
        references=tuple(_ID.findall(str(parsed.get("references", parsed.get("in-reply-to", ""))))),
        quoted=f"{text.wrap(_ascii(wrote))}\n{quoted}",
    )


def _ascii(line: str) -> str:
    """A line in ASCII: signs that mail programs put in place of ASCII's are put back."""
    line = line.translate(_PLAIN)
    return line.expandtabs().encode("ascii", "replace").decode()


def with_headers(body: str, answered: Answered) -> str:
    """The text with Subject, In-Reply-To and References above it, as `git send-email` reads it."""
    return f"{_heads(answered)}\n\n{body}"


def mbox(letter: str, author: str) -> str:
    """A letter with its headers as an mbox of one message; `author`: 'Name <name@example.org>'.

    Its Date follows SOURCE_DATE_EPOCH where that is set. Raises UserError for another author.
    """
    name, address = email.utils.parseaddr(author)
    if not re.fullmatch(r"[!-~]+@[!-~]+", address) or not author.isascii():
        raise out_of_range("mail", "from", author, "an address in ASCII: Name <name@example.org>")
    moment = now()
    heads, _, body = letter.partition("\n\n")
    # a line that begins so would begin the next message; other escapes than this arrive as such
    if escaped := _FROM.search(body) is not None:
        body = _FROM.sub(r"\1=46rom ", body_encode(body, maxlinelen=_ENCODED_COLUMNS))
    return "\n".join(
        [
            f"From {address} {moment:%a %b %e %H:%M:%S %Y}",
            _folded("From", email.utils.formataddr((name, address))),
            f"Date: {email.utils.format_datetime(moment)}",
            heads,
            "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=us-ascii",
            f"Content-Transfer-Encoding: {'quoted-printable' if escaped else '7bit'}",
            "",
            body,
            "",
        ]
    )


def checks(letter: str, box: str) -> list[tuple[str, str]]:
    """What was checked of a letter and its mbox, and what was found, in words.

    Raises UserError for an mbox that Python's parser reads as something else than the letter.
    """
    heads, _, body = letter.partition("\n\n")
    read = BytesParser(policy=email.policy.default).parsebytes(
        box.partition("\n")[2].encode("ascii")
    )
    again = bytes(read.get_payload(decode=True)).decode("ascii")  # type: ignore[arg-type]
    if again.rstrip("\n") != body.rstrip("\n"):
        raise UserError("the mbox holds another text than the mail")
    lines = text.check_plain(body).rstrip("\n").split("\n")
    return [
        ("lines", f"{len(lines)}, none above {max(map(len, lines))} columns; allowed: 75"),
        ("letters", "ASCII alone, no tab"),
        ("quoted", f"{sum(line.startswith('>') for line in lines)} lines"),
        ("headers", ", ".join(line.partition(":")[0] for line in heads.split("\n") if ":" in line)),
        ("mbox", "one message; read back by Python's parser, the same text"),
    ]


def _heads(answered: Answered) -> str:
    lines = [_folded("Subject", answered.subject)]
    if answered.message_id:
        chain = dict.fromkeys([*answered.references, answered.message_id])
        lines.append(_folded("In-Reply-To", answered.message_id))
        lines.append(_folded("References", " ".join(chain)))
    return "\n".join(lines)


def _folded(name: str, value: str) -> str:
    """A header, folded at its blanks; an id that is longer than a line stays whole."""
    first, *words = value.split()
    lines = [f"{name}: {first}"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) <= text.MAIL_COLUMNS:
            lines[-1] += f" {word}"
        else:
            lines.append(f" {word}")
    return "\n".join(lines)


def answered_by(quote: str, in_reply_to: str) -> Answered:
    """What a file's path and a Message-ID say, both "" where there is none."""
    answered = read_mail(Path(quote)) if quote else Answered()
    return named(answered, in_reply_to) if in_reply_to else answered


def named(answered: Answered, in_reply_to: str) -> Answered:
    """The mail with this Message-ID; the references of its own file stay only with its own id."""
    own = message_id(in_reply_to)
    references = answered.references if own == answered.message_id else ()
    return replace(answered, message_id=own, references=references)


def preview(letter: str) -> Any:
    """The letter as it will stand in a reader, for display."""
    from IPython.display import HTML

    return HTML(f"<pre>{escape(letter)}</pre>")


def save(letter: str, box: str) -> list[Path]:
    """Leave both beside the page that is being made, else in the working directory; the paths."""
    paths = []
    for suffix, content in ((".txt", letter), (".mbox", box)):
        place = place_for("mail", suffix) or Path(f"mail{suffix}")
        paths.append(write_atomically(place, content))
    return paths

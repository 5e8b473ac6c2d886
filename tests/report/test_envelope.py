"""Headers, quotations and the mbox of a mail, read by other programs."""

from __future__ import annotations

import contextlib
import email
import email.policy
import fcntl
import mailbox
import os
import pty
import select
import shutil
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from cgsim.errors import UserError
from cgsim.report.envelope import (
    SUBJECT,
    Answered,
    checks,
    mbox,
    message_id,
    read_mail,
    with_headers,
)

BODY = f"Hello\n\nFrom here on, text.\n> From there.\n>From a = b.\nFrom {'x = y ' * 11}z\n"
THEIRS = """\
From: Tejun Heo <tj@example.org>
Date: Tue, 13 Mar 2018 13:50:00 -0700
Message-ID: <b@example.org>
In-Reply-To: <a@example.org>
References: <0@example.org>
 <a@example.org>
Subject: [PATCH v3 1/6] cgroup: Allow registration and lookup of cgroup private
 data

one
It\u2019s really cheap.
> older
"""


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A mail as a reader saves it."""
    path = tmp_path / "theirs.eml"
    path.write_text(THEIRS)
    return path


def test_a_mail_is_answered(theirs: Path) -> None:
    """Its id ends the references, its subject gets one Re:, its lines a mark each."""
    answered = read_mail(theirs, (2, 3))
    assert answered.message_id == "<b@example.org>"
    assert answered.references == ("<0@example.org>", "<a@example.org>")
    lines = answered.quoted.splitlines()
    assert lines[-2:] == ["> It's really cheap.", ">> older"]
    assert " ".join(lines[:-2]) == "On Tue, 13 Mar 2018 13:50:00 -0700, Tejun Heo wrote:"
    letter = email.message_from_string(with_headers(BODY, answered), policy=email.policy.default)
    assert letter["in-reply-to"] == "<b@example.org>"
    assert letter["references"].split() == ["<0@example.org>", "<a@example.org>", "<b@example.org>"]
    assert str(letter["subject"]).startswith("Re: [PATCH v3 1/6] cgroup: Allow")
    assert letter.get_content() == BODY


def test_plain_text_is_quoted(tmp_path: Path) -> None:
    """A file that is no mail gives its lines alone."""
    path = tmp_path / "said.txt"
    path.write_text("two words\n")
    assert read_mail(path) == Answered(quoted="> two words")


@pytest.mark.parametrize("long", [False, True])
def test_mbox_is_read_by_others(
    long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's parser and git find one message, its headers and its whole body."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1521000000")
    own = f"<{'x' * 90 if long else 'x'}@example.org>"
    letter = with_headers(BODY, Answered(message_id=own, references=("<0@example.org>",)))
    path = tmp_path / "reply.mbox"
    path.write_text(mbox(letter, "A. B. <a@example.org>"))
    with contextlib.closing(mailbox.mbox(path)) as box:
        (message,) = box
    assert message["in-reply-to"] == own
    assert message["references"].split() == ["<0@example.org>", own]
    assert message["date"] == "Wed, 14 Mar 2018 04:00:00 +0000"
    assert message.get_payload(decode=True).decode().rstrip("\n") == BODY.rstrip("\n")
    assert max(map(len, path.read_text().split("\n")[12:])) <= 76
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    run = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    assert subprocess.run(["git", "mailsplit", "-o.", path], **run).stdout.strip() == "1"  # type: ignore[call-overload]
    info = subprocess.run(
        ["git", "mailinfo", "-k", "body", "patch"], input=(tmp_path / "0001").read_text(), **run
    )  # type: ignore[call-overload]
    assert f"Subject: {SUBJECT}\n" in info.stdout
    assert (tmp_path / "body").read_text().rstrip("\n") == BODY.rstrip("\n")
    assert "Author: A. B.\nEmail: a@example.org\n" in info.stdout
    assert "Date: Wed, 14 Mar 2018 04:00:00 +0000" in info.stdout


def test_plain_text_stays_plain() -> None:
    """Nothing is encoded where nothing must be; both forms are read back."""
    for body, how in (("Hello = you\n", "7bit"), (BODY, "quoted-printable")):
        letter = with_headers(body, Answered())
        box = mbox(letter, "a@example.org")
        assert f"Content-Transfer-Encoding: {how}\n" in box
        assert checks(letter, box)
    with pytest.raises(UserError, match="another text"):
        checks(letter, box.replace("Hello", "Hullo"))


KEYS = """\
set folder={home} record="" pipe_decode=yes wait_key=no quit=yes
unignore *
push "<pipe-message>cat > {home}/shown<enter><exit>"
"""


@pytest.mark.slow
def test_mutt_shows_the_mail(tmp_path: Path) -> None:
    """Subject, In-Reply-To, References and the whole text, as mutt decodes them."""
    if not shutil.which("mutt"):
        pytest.skip("mutt is not installed (Debian: apt-get install mutt)")
    letter = with_headers(
        sample_mail(), Answered(message_id="<b@example.org>", references=("<0@example.org>",))
    )
    (tmp_path / "mail.mbox").write_text(mbox(letter, "A. B. <a@example.org>"))
    (tmp_path / "keys").write_text(KEYS.format(home=tmp_path))
    run_on_a_terminal(
        ["mutt", "-n", "-F", tmp_path / "keys", "-R", "-f", tmp_path / "mail.mbox"], tmp_path
    )
    shown = (tmp_path / "shown").read_text().partition("\n")[2]
    message = email.message_from_string(shown, policy=email.policy.default)
    assert message["subject"] == SUBJECT
    assert message["in-reply-to"] == "<b@example.org>"
    assert message["references"].split() == ["<0@example.org>", "<b@example.org>"]
    assert message["from"] == '"A. B." <a@example.org>'
    assert message.get_payload().rstrip("\n") == sample_mail().rstrip("\n")


def sample_mail() -> str:
    """The golden mail's text, with a line that mboxes trip over."""
    golden = (Path(__file__).parent.parent / "golden" / "mail.txt").read_text()
    return golden.partition("\n\n")[2] + "\nFrom here on, nothing.\n>From = them\n"


def run_on_a_terminal(command: list[object], home: Path) -> None:
    """Run a program that wants a terminal, until it ends by itself."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [str(word) for word in command], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "HOME": str(home), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    os.close(theirs)
    try:
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # it has closed its side
                    os.read(ours, 4096)
        assert process.poll() == 0
    finally:
        process.kill()
        os.close(ours)


@pytest.mark.parametrize("value", ["", "x", "<a b@c>", "<a@b>\nBcc: x@y", "<a@b> <c@d>"])
def test_no_other_header_slips_in(value: str) -> None:
    """A Message-ID is one id."""
    with pytest.raises(UserError, match="in_reply_to = "):
        message_id(value)
    with pytest.raises(UserError, match="from = "):
        mbox("", value.replace("@", " at "))


@pytest.mark.parametrize(
    ("data", "lines", "message"),
    [
        (b"", None, "holds no text"),
        (b"one\n", (1, 2), "lines 1-2; allowed: within 1-1"),
        (b"x" * 80, None, "more than 75 columns"),
        (b"From: a@b\nContent-Type: text/html\n\n<p>x</p>\n", None, "without plain text"),
    ],
)
def test_refused(data: bytes, lines: tuple[int, int] | None, message: str, tmp_path: Path) -> None:
    """What cannot be quoted is refused in one line that names the file."""
    path = tmp_path / "theirs"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        read_mail(path, lines)
    with pytest.raises(UserError, match="No such file"):
        read_mail(tmp_path / "none")

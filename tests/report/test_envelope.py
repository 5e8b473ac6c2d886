"""Headers, quotations and the mbox of a mail, read by other programs."""

from __future__ import annotations

import contextlib
import email
import email.policy
import mailbox
import shutil
import subprocess
from pathlib import Path

import pytest

from cgsim.errors import UserError
from cgsim.report.envelope import Answered, mbox, message_id, read_mail, with_headers

BODY = "Hello\n\nFrom here on, text.\n> From there.\n"
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
    assert message.get_payload().rstrip("\n").split("\n")[2] == ">From here on, text."
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    run = {"cwd": tmp_path, "check": True, "capture_output": True, "text": True}
    assert subprocess.run(["git", "mailsplit", "-o.", path], **run).stdout.strip() == "1"  # type: ignore[call-overload]
    info = subprocess.run(
        ["git", "mailinfo", "body", "patch"], input=(tmp_path / "0001").read_text(), **run
    )  # type: ignore[call-overload]
    assert "Author: A. B.\nEmail: a@example.org\n" in info.stdout
    assert "Date: Wed, 14 Mar 2018 04:00:00 +0000" in info.stdout


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

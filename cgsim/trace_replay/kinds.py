"""Which kind of trace some bytes are, told by the bytes."""

from __future__ import annotations

import re

from cgsim.errors import UserError
from cgsim.trace_replay.tool_text import Dinero, DynamoRioView, Lackey
from cgsim.trace_replay.trace import CpuLimit, shown

HEAD_BYTES = 1 << 16

COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}
ARRAYS = {b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"PK\x05\x06": "npz", b"PAR1": "parquet"}
_REFUSED = {
    b"\x7fELF": "an ELF program or library; run it under a tracer, such as"
    " valgrind --tool=lackey --trace-mem=yes",
    b"PERFILE2": "perf's recording; `perf script -F cpu,addr,event` prints it, and a line of CSV"
    " (cpu,op,address) for each is read",
    b"\x89HDF\r\n\x1a\n": "HDF5; save the table as Parquet",
    b"ARROW1": "Arrow's IPC file (Feather); save the table as Parquet",
    b"FEA1": "Feather; save the table as Parquet",
    b"Obj\x01": "Avro; save the table as Parquet",
    b"ORC": "ORC; save the table as Parquet",
    b"SQLite format 3\x00": "an SQLite database; save the table as Parquet or CSV",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive; unpack it",
    b"Rar!": "a RAR archive; unpack it",
    b"%PDF": "a PDF document",
    b"\x89PNG": "an image",
    b"\xff\xfe": "text in UTF-16; `iconv -f UTF-16 -t UTF-8` converts it",
    b"\xfe\xff": "text in UTF-16; `iconv -f UTF-16 -t UTF-8` converts it",
    b"LZIP": "an lzip file; unpack it",
    b"\x1f\x9d": "a file of compress (.Z); unpack it",
}
_PICKLE = re.compile(rb"\x80[\x02-\x05](?:\x95|[}\](\x8cc])", re.DOTALL)
_REFUSED_TEXT = {
    r"0x[0-9a-fA-F]+: [RW] 0x": "Pin's pinatrace; a CSV with columns op and address is read, as"
    " `sed -n 's/.*: \\([RW]\\) \\(0x.*\\)/\\1,\\2/p'` makes it below the line op,address",
    r"[rwimcv]\s+(?:0x)?[0-9a-fA-F]+\s+[0-9a-fA-F]+\s*$": "Dinero's extended kind (-informat D);"
    " write labels 0 (read), 1 (write), 2 (fetch) and addresses (-informat d)",
    r"(?:desc|cmd|events|version|creator): ": "cachegrind's or callgrind's counts, no trace; run"
    " valgrind --tool=lackey --trace-mem=yes",
    r"[\[{]": "JSON; save the table as Parquet or CSV",
    r"\s*<[?!a-zA-Z]": "XML or HTML",
    r"#!": "a script",
    r".{1,16}\s+\d+ \[\d+\] +\d+\.\d+: ": "perf script's text; a CSV with columns cpu, op and"
    " address is read",
    r"--- |%YAML": "YAML; save the table as Parquet or CSV",
}
READ_KINDS = (
    "CSV with a header, .npy, .npz, Parquet, valgrind's lackey, Dinero, DynamoRIO's view, and these"
    " compressed"
)


def compression_of(head: bytes) -> str | None:
    """The compression that the first bytes tell, None without one."""
    return next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)


def array_kind_of(head: bytes) -> str | None:
    """ "npy", "npz" or "parquet"; None if it is text.

    Raises UserError, without a source, naming a binary kind that is not read.
    """
    for magic, name in ARRAYS.items():
        if head.startswith(magic):
            return name
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            raise UserError(f"is {name}")
    if head[257:262] == b"ustar":
        raise UserError("is a tar archive; unpack it")
    if _PICKLE.match(head):
        raise UserError("is a pickle of Python, which is never run; save arrays as .npy or .npz")
    if not _is_text(head):
        raise UserError(f"is of an unknown binary kind; read are: {READ_KINDS}")
    return None


def tool_of(lines: list[str], cpus: CpuLimit) -> Lackey | Dinero | DynamoRioView | None:
    """The tool that writes such lines, none of which is empty; None for CSV and unknown text."""
    if not lines:
        return None
    records = [line for line in lines if not Lackey.OWN.match(line)]
    if len(records) < len(lines):
        if not records:
            raise UserError(
                "is valgrind's text without a trace; run valgrind --tool=lackey --trace-mem=yes"
            )
        return Lackey()
    first = records[0]
    if Lackey.LINE.fullmatch(first):
        return Lackey()
    if DynamoRioView.LINE.match(first):
        return DynamoRioView(cpus)
    if Dinero.LINE.fullmatch(first):
        return Dinero()
    return None


def refuse_known_text(first: str) -> None:
    """Raise UserError, without a source, for text of a kind that is known and not read.

    first : its first line
    """
    for pattern, name in _REFUSED_TEXT.items():
        if re.match(pattern, first):
            raise UserError(f"is {name}")


def unknown_text(first: str) -> UserError:
    """The error, without a source, for text of an unknown kind; first: its first line."""
    return UserError(f"is text of an unknown kind ({shown(first)}); read are: {READ_KINDS}")


def _is_text(head: bytes) -> bool:
    """Whether bytes, perhaps cut within a character, are UTF-8 without NUL."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or len(head) < HEAD_BYTES:
            return False
    return b"\x00" not in head

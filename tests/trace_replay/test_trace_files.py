"""Trace files of every kind that users bring: right, or one line that says why not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from cgsim.errors import UserError
from cgsim.trace_replay import text_lines
from cgsim.trace_replay.replay import replay, replay_file
from cgsim.trace_replay.text_lines import Text
from cgsim.trace_replay.trace import ATOMIC, READ, WRITE, Trace
from cgsim.trace_replay.trace_files import read_trace

CASES = Path(__file__).parent / "cases"
KERNEL = 0xFFFF_8880_0000_1000
ADDRESSES = [0x1000, 0x1040, KERNEL, 2**64 - 8]
OPS = ["R", "W", "A", "R"]
CPUS = [0, 1, 0, 3]
SIZES = [8, 4, 8, 1]


def columns_of(trace: Trace) -> tuple[Any, ...]:
    """The columns as lists."""
    columns = (trace.address, trace.op, trace.cpu, trace.size)
    return tuple(None if column is None else column.tolist() for column in columns)


ALL = (ADDRESSES, [READ, WRITE, ATOMIC, READ], CPUS, SIZES)


def written(tmp_path: Path, content: bytes | str, name: str = "trace") -> Path:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def csv_text(separator: str = ",", number: Callable[[int], str] = hex, end: str = "\n") -> str:
    rows = [["address", "op", "cpu", "size"]]
    for address, op, cpu, size in zip(ADDRESSES, OPS, CPUS, SIZES, strict=True):
        rows.append([number(address), op, str(cpu), str(size)])
    return "".join(separator.join(row) + end for row in rows)


def signed(address: int) -> str:
    return str(address - 2**64 if address >= 2**63 else address)


def padded(address: int) -> str:
    return f"0X{address:016X}"


# --- CSV -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [*",;\t|:^~#& /!@$%*+=-.", ", ", "; ", "   "])
def test_separators(tmp_path: Path, separator: str) -> None:
    """Whatever separates the fields, told by the header; spaces beside it do not count."""
    number = str if separator in "-." else hex
    assert columns_of(read_trace(written(tmp_path, csv_text(separator, number)))) == ALL


@pytest.mark.parametrize("number", [hex, str, signed, padded])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n", "\n \n", "\n\t\r\n"])
def test_numbers_and_line_ends(tmp_path: Path, number: Callable[[int], str], end: str) -> None:
    """Hexadecimal, uint64 and int64 text, in lines with any end and empty ones between."""
    assert columns_of(read_trace(written(tmp_path, csv_text(",", number, end)))) == ALL


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ops_in_any_case_and_quotes(tmp_path: Path, mark: str) -> None:
    text = mark + '"address","op"\n"1",r\n2," W"\n3,"a"\n4,w'
    trace = read_trace(written(tmp_path, text))
    assert columns_of(trace) == ([1, 2, 3, 4], [READ, WRITE, ATOMIC, WRITE], None, None)


def test_index_of_pandas_is_left_out(tmp_path: Path) -> None:
    """A frame saved with its index, by any of the ways to do so."""
    frame = pd.DataFrame({"address": [0, 64, 128, 192], "op": "R"})
    filtered = frame[frame.address != 64]
    filtered.to_csv(tmp_path / "one.csv")
    pd.read_csv(tmp_path / "one.csv").to_csv(tmp_path / "two.csv")
    filtered.to_parquet(tmp_path / "one.parquet")
    filtered.rename_axis("time").to_parquet(tmp_path / "named.parquet")
    pd.read_csv(tmp_path / "one.csv").to_parquet(tmp_path / "unnamed.parquet")
    for name in ("one.csv", "two.csv", "one.parquet", "named.parquet", "unnamed.parquet"):
        assert read_trace(tmp_path / name).address.tolist() == [0, 128, 192], name
    filtered.set_index("address").to_parquet(tmp_path / "address.parquet")
    assert read_trace(tmp_path / "address.parquet").address.tolist() == [0, 128, 192]


def test_columns_by_name(tmp_path: Path) -> None:
    """Names of the user's; columns that are not named are left out, else refused."""
    file = written(tmp_path, "time,addr,type,cpu,ip\n1,0x1000,r,2,9\n2,0x1040,w,0,9\n")
    expected = ([0x1000, 0x1040], [READ, WRITE], [2, 0], None)
    assert columns_of(read_trace(file, "address=addr, op=type")) == expected
    assert columns_of(read_trace(file, {"address": "addr", "op": "type"})) == expected
    assert columns_of(read_trace(file, "address=ip,op=type,cpu"))[0] == [9, 9]
    table = pa.table({"address": [1], "op": ["R"], "x": [0.5]})
    pq.write_table(table, tmp_path / "x.parquet")
    assert len(read_trace(tmp_path / "x.parquet", "address,op")) == 1
    for names, message in [
        (None, "unknown column 'time'; .*--columns address=addr,op=type"),
        ("address=adr", "column 'adr' is missing; columns: 'time', 'addr'"),
        ("adress=addr", "'adress' is not allowed; allowed: cpu, op, address, size"),
        ("address=addr,address=ip", "'address' is named twice"),
        ("op=type", "column 'address' is missing"),
        ("", "'' is not allowed"),
    ]:
        with pytest.raises(UserError, match=message):
            read_trace(file, names)
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(UserError, match="--columns is for tables"):
        read_trace(tmp_path / "a.npy", "address=x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("address,op\n0x1000,R\n\n\n0x1040,X\n", "line 5: op is 'X'; allowed: R, W, A"),
        ("\n\naddress,op\n0x1000,R\n\nzz,R\n", "line 6: address is 'zz'; allowed: integers"),
        ("address,op\n1,R\n2\n", "line 3: has 1 fields, the header 2"),
        ("address,op\n1,R\n2,R,9\n", "line 3: has 3 fields, the header 2"),
        ("address,op\n1,R\n,R\n", "line 3: address is missing"),
        ("address,op\n1,R\nNaN,R\n", "line 3: address is missing"),
        ("address,op\n1,R\n2.0,R\n", "line 3: address is '2.0'; allowed: integers"),
        ("address,op\n18446744073709551616,R\n", "line 2: address = '1844.* is not allowed"),
        ("address,op,cpu\n1,R,8192\n", "line 2: cpu = '8192' .*0 to 8191"),
        ("address,op,size\n1,R,0\n", "line 2: size = '0' .*1 to 65536"),
        ("address,op,op\n1,R,R\n", "column 'op' occurs twice"),
        ("adress,op\n1,R\n", "unknown column 'adress'"),
        ("addr;type\n1;R\n", "unknown column 'addr'; .*--columns"),
        ("op\nR\n", "column 'address' is missing"),
        ("address,op\n1,R\n2,\x1b[31m\n", "line 3: op is a value of unprintable characters"),
        ("address,op\n1," + "R" * 500 + "\n", "line 2: op is 'R{70,76}\\.\\.\\.; allowed"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"trace: {message}") as caught:
        read_trace(written(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_lines_are_counted_over_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts are read in blocks, cut at any place of a line."""
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 1000)
    lines = [f"{64 * n},{'RW'[n % 2]}" for n in range(50_000)]
    text = "address,op\n" + "\n".join(lines)
    trace = read_trace(written(tmp_path, text))
    assert trace.address.tolist() == [64 * n for n in range(50_000)]
    with pytest.raises(UserError, match="line 50002: address is 'x'"):
        read_trace(written(tmp_path, text + "\nx,R\n"))


@settings(max_examples=examples(30))
@given(st.binary(max_size=300), st.integers(1, 50))
def test_blocks_hold_whole_lines(content: bytes, head: int) -> None:
    """Nothing is lost between blocks but empty ends, and each begins where it says."""
    rest = io.BytesIO(content[head:])
    blocks = list(Text(content[:head], rest).blocks())
    assert b"".join(block for _, block in blocks).rstrip() == content.rstrip()
    at = 1
    for line, block in blocks:
        assert line == at
        at += block.count(b"\n")


def test_header_without_accesses(tmp_path: Path) -> None:
    assert columns_of(read_trace(written(tmp_path, "address,op\n"))) == ([], [], None, None)
    assert replay_file(written(tmp_path, "address,op"), "L1:32KiB/8").accesses == 0


# --- arrays --------------------------------------------------------------------------------------

SMALL = np.array([0, 64, 127, 5])
KERNEL_WORDS = np.array([KERNEL, KERNEL + 64, 2**64 - 8], np.uint64)


@pytest.mark.parametrize(
    "array",
    [SMALL.astype(f"{order}{kind}") for order in "<>" for kind in ("u1", "u2", "u4", "u8")]
    + [SMALL.astype(f"{order}{kind}") for order in "<>" for kind in ("i1", "i2", "i4", "i8")]
    + [KERNEL_WORDS, KERNEL_WORDS.astype(">u8"), KERNEL_WORDS.view(np.int64)]
    + [KERNEL_WORDS.view(np.int64).astype(">i8"), np.arange(20)[::3], np.zeros(0, np.uint64)],
)
def test_the_same_array_everywhere(tmp_path: Path, array: Any) -> None:
    """Integers of any width and byte order, as Python, .npy, .npz, Parquet and CSV have them."""
    expected = [int(value) % 2**64 for value in array]
    native = array.astype(array.dtype.newbyteorder("="))
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", array)
    np.savez(tmp_path / "named.npz", address=array)
    pq.write_table(pa.table({"address": native}), tmp_path / "a.parquet")
    pd.DataFrame({"address": native}).to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.npy", "a.npz", "named.npz", "a.parquet", "a.csv"):
        assert read_trace(tmp_path / name).address.tolist() == expected, name
        levels = replay_file(tmp_path / name, "L1:1KiB/2").levels
        assert levels == replay(array, "L1:1KiB/2").levels
    assert replay(pd.DataFrame({"address": native}), "L1:1KiB/2").levels == levels


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([1.0, np.nan]), "row 0: address is .*1.0.*float64"),
        (np.array([1, -5], np.int32), "row 1: address = -5 is not allowed"),
        (np.zeros((2, 2), np.uint64), "address has 2 dimensions"),
        (np.array(["a"]), "row 0: address is .*'a'.*<U1"),
        (np.array([True, False]), "row 0: address is .*True.*bool"),
        (np.array(5), "address has 0 dimensions"),
        (np.zeros(3, "M8[s]"), "row 0: address is"),
    ],
)
def test_the_same_refusal_everywhere(tmp_path: Path, array: Any, message: str) -> None:
    np.save(tmp_path / "t.npy", array)
    np.savez(tmp_path / "t.npz", array)
    for call in (
        lambda: replay(array),
        *(lambda name=name: replay_file(tmp_path / name) for name in ("t.npy", "t.npz")),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_arrays_by_name(tmp_path: Path) -> None:
    """An .npz, or a structured .npy, of all columns."""
    op = np.array(OPS)
    words = np.array(ADDRESSES, np.uint64)
    np.savez(tmp_path / "t.npz", address=words, op=op, cpu=np.array(CPUS), size=np.array(SIZES))
    assert columns_of(read_trace(tmp_path / "t.npz")) == ALL
    table = np.zeros(4, [("address", "<u8"), ("op", "S1"), ("cpu", "u2"), ("size", "u4")])
    for name, column in (("address", words), ("op", op), ("cpu", CPUS), ("size", SIZES)):
        table[name] = column
    np.save(tmp_path / "t.npy", table)
    assert columns_of(read_trace(tmp_path / "t.npy")) == ALL
    np.savez(tmp_path / "x.npz", addr=words, kind=op == "W")
    trace = read_trace(tmp_path / "x.npz", "address=addr,op=kind")
    assert trace.op is not None
    assert trace.op.tolist() == [0, 1, 0, 0]
    with pytest.raises(UserError, match="unknown column 'addr'"):
        read_trace(tmp_path / "x.npz")


@pytest.mark.parametrize(
    "op",
    [
        pa.array(OPS),
        pa.array([op.lower() for op in OPS], pa.large_string()),
        pa.array(OPS, pa.string_view()),
        pa.array(OPS).dictionary_encode(),
        pa.array([op.encode() for op in OPS], pa.binary()),
        pa.array([0, 1, 2, 0], pa.int64()),
        pa.array([0, 1, 2, 0], pa.uint8()),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [pa.uint64(), pa.decimal128(20, 0)], ids=str)
def test_parquet_of_other_writers(tmp_path: Path, op: Any, kind: Any) -> None:
    """The types that polars and duckdb write: large and dictionary text, binary, decimals."""
    if pa.types.is_string_view(op.type) and not hasattr(pq, "ParquetFile"):
        pytest.skip("no views")
    address = pa.array(ADDRESSES, pa.uint64())
    address = address if kind == pa.uint64() else pa.array(map(int, ADDRESSES), kind)
    table = pa.table(
        {"address": address, "op": op, "cpu": pa.array(CPUS, pa.int8()), "size": pa.array(SIZES)}
    )
    pq.write_table(table, tmp_path / "t", row_group_size=3, compression="zstd")
    assert columns_of(read_trace(tmp_path / "t")) == ALL


def test_parquet_of_polars_and_duckdb(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"address": ADDRESSES, "op": OPS}, schema_overrides={"address": polars.UInt64}
    )
    frame.with_columns(polars.col("op").cast(polars.Categorical)).write_parquet(tmp_path / "p")
    assert columns_of(read_trace(tmp_path / "p"))[:2] == ALL[:2]
    assert replay(frame, "L1:1KiB/2").levels == replay_file(tmp_path / "p", "L1:1KiB/2").levels


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"address": pa.array([1, None]), "op": ["R", "R"]}, "row 1: address is missing"),
        ({"address": pa.array(["a"]), "op": ["R"]}, "column 'address' is of type string"),
        ({"address": pa.array([1.5]), "op": ["R"]}, "row 0: address is .*1.5"),
        ({"address": [1], "op": ["X"]}, "row 0: op is 'X'"),
        ({"address": [1], "op": [7]}, "row 0: op is .*7"),
        ({"address": [1], "op": pa.array([[1]])}, "column 'op' is of type list"),
        ({"op": ["R"]}, "column 'address' is missing"),
    ],
)
def test_malformed_parquet(tmp_path: Path, table: Any, message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "t")
    with pytest.raises(UserError, match=message):
        read_trace(tmp_path / "t")


# --- the texts of tools --------------------------------------------------------------------------

LACKEY = """\
==12== Lackey, an example Valgrind tool
--12-- warning, of valgrind
SB 04000a10
I  04000a10,3
 L 1ffefffe78,8
 S ffff888000001000,4

 M 0421c7cc,65536
SB 04000a20
 L 04222cbc,8
==12==
"""
DINERO = "2 400100\n0 1000\n1 0x1008\n2 400104 what follows\n 0\tFFFF888000001000 8\n"
VIEW = """\
Output format:
<--record#-> <--instr#->: <---tid---> <record details>
------------------------------------------------------------
           1           0:        4242 <marker: version 6>
           2           0:        4242 <marker: timestamp 13300000000000000>
           3           0:        4242 <marker: tid 4242 on core 3>
           4           1:        4242 ifetch       5 byte(s) @ 0x00007f00aa00152a non-branch
           5           1:        4242 read         8 byte(s) @ 0x00007ffd00ace110 by PC 0x7f00aa
------------------------------------------------------------
           6           1:        4243 <marker: tid 4243 on core 0>
           7           2:        4243 write        4 byte(s) @ 0xffff888000001000 by PC 0x7f00aa
           8           2:        4242 read        16 byte(s) @ 0x0000000000001000 by PC 0x7f00aa
           9           2:        4242 <marker: tid 4242 on core 1>
          10           3:        4242 write        8 byte(s) @ 0x0000000000001008 by PC 0x7f00aa
View tool results:
              10 : total instructions
"""
TEXTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "lackey": (
        LACKEY,
        (
            [0x1FFEFFFE78, KERNEL, 0x421C7CC, 0x4222CBC],
            [READ, WRITE, WRITE, READ],
            None,
            [8, 4, 65536, 8],
        ),
    ),
    "dinero": (DINERO, ([0x1000, 0x1008, KERNEL], [READ, WRITE, READ], None, None)),
    "view": (
        VIEW,
        (
            [0x7FFD00ACE110, KERNEL, 0x1000, 0x1008],
            [READ, WRITE, READ, WRITE],
            [3, 0, 3, 1],
            [8, 4, 16, 8],
        ),
    ),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n"])
def test_texts_of_tools(tmp_path: Path, name: str, end: str) -> None:
    text, expected = TEXTS[name]
    file = written(tmp_path, text.replace("\n", end), "trace.csv")
    assert columns_of(read_trace(file)) == expected


@pytest.mark.parametrize("name", TEXTS)
def test_texts_of_tools_in_blocks(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kind, and the core of a thread, hold over blocks."""
    from cgsim.trace_replay import kinds

    monkeypatch.setattr(kinds, "HEAD_BYTES", 300)
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", 90)
    text, expected = TEXTS[name]
    assert columns_of(read_trace(written(tmp_path, text))) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" L 10,8\n\n L zz,8\n", "line 3: ' L zz,8' is no line of valgrind's lackey"),
        (" L 10,8\n S 12345678123456781,8\n", "line 2: .* is no line of valgrind's lackey"),
        (" L 10,8\n L 10,0\n", "line 2: size = 0 is not allowed"),
        (" L 10,8\nhello\n", "line 2: 'hello' is no line of valgrind's lackey"),
        (" L 10,8\n L 10\n", "line 2: ' L 10' is no line of valgrind's lackey"),
        ("==1== Memcheck\n==1== done\n", "is valgrind's text without a trace; run valgrind --tool"),
        ("0 10\n1 zz\n", "line 2: '1 zz' is no line of Dinero"),
        ("0 10\n4 0\n", "line 2: label 4, which flushes the caches, is not replayed"),
        ("0 10\n9 0\n", "line 2: '9 0' is no line of Dinero"),
        (VIEW.replace("on core 3", "on core -1"), "line 6: .* names no core; allowed: 0 to 8191"),
        (VIEW.replace("tid 4242 on core 3", "x"), "line 8: thread 4242 accesses memory before"),
        (VIEW.replace("write        4", "flush        4"), "line 11: 'flush .* is no access"),
    ],
)
def test_malformed_texts_of_tools(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"trace: {message}"):
        read_trace(written(tmp_path, text))


# --- packed, piped, and what is not read ---------------------------------------------------------


def zstd(content: bytes) -> bytes:
    with pa.BufferOutputStream() as out:
        with pa.CompressedOutputStream(out, "zstd") as packed:
            packed.write(content)
        return bytes(out.getvalue())


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "gz of two": lambda content: gzip.compress(content[:40]) + gzip.compress(content[40:]),
    "zst": zstd,
    "xz": lzma.compress,
    "bz2": bz2.compress,
    "twice": lambda content: gzip.compress(zstd(content)),
}


def npy(array: Any, **named: Any) -> bytes:
    with io.BytesIO() as file:
        np.savez(file, **named) if named else np.save(file, array)
        return file.getvalue()


def parquet() -> bytes:
    with io.BytesIO() as file:
        table = {"address": pa.array(ADDRESSES, pa.uint64()), "op": OPS, "cpu": CPUS, "size": SIZES}
        pq.write_table(pa.table(table), file)
        return file.getvalue()


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("kind", ["csv", "npy", "npz", "parquet", *TEXTS])
def test_packed(tmp_path: Path, packer: str, kind: str) -> None:
    """Every kind, packed by everything, whatever the file is called."""
    words = np.array(ADDRESSES, np.uint64)
    plain: dict[str, tuple[bytes, tuple[Any, ...]]] = {
        "csv": (csv_text().encode(), ALL),
        "npy": (npy(words), (ADDRESSES, None, None, None)),
        "npz": (npy(None, address=words, op=OPS, cpu=CPUS, size=SIZES), ALL),
        "parquet": (parquet(), ALL),
        **{name: (text.encode(), expected) for name, (text, expected) in TEXTS.items()},
    }
    content, expected = plain[kind]
    packed = PACKERS[packer](content)
    assert columns_of(read_trace(written(tmp_path, packed))) == expected
    for cut in (len(packed) // 2, len(packed) - 3):
        if packer in ("gz", "zst", "xz", "bz2"):
            with pytest.raises(UserError, match=r"truncated|line|unknown"):
                read_trace(written(tmp_path, packed[:cut]))


@pytest.mark.parametrize("name", ["mesi.csv", "mesi.csv.gz", "int64.npy", "kernel_int64.parquet"])
def test_standard_input_and_pipes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a pipe, which cannot be read at any place."""
    content = (CASES / name).read_bytes()
    expected = columns_of(read_trace(CASES / name))
    for path in ("-", "/dev/fd/"):
        end, begin = os.pipe()
        with os.fdopen(begin, "wb") as sender:
            sender.write(content)
        with os.fdopen(end, "rb") as receiver:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(receiver))
            found = read_trace(path if path == "-" else f"{path}{end}")
        assert columns_of(found) == expected


def tar() -> bytes:
    import tarfile

    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a"))
        return file.getvalue()


def zipped() -> bytes:
    with io.BytesIO() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("trace.csv", "address,op\n")
        return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\x02\x01\x01" + bytes(100), "is an ELF program.*lackey"),
        (b"PERFILE2" + bytes(100), "is perf's recording.*perf script"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is HDF5; save the table as Parquet"),
        (b"ARROW1\x00\x00" + bytes(100), "is Arrow's IPC file"),
        (b"SQLite format 3\x00" + bytes(100), "is an SQLite database"),
        (b"\x80\x04\x95\x00\x00\x00", "is a pickle of Python"),
        (tar(), "is a tar archive"),
        (zipped(), "is a ZIP archive that holds more than .npy"),
        ("address,op\n1,R\n".encode("utf-16"), "is text in UTF-16; `iconv"),
        (bytes(range(256)) * 20, "is of an unknown binary kind; read are: CSV"),
        (b"\x00" * 5000, "is of an unknown binary kind"),
        (b"address,op\n1,\xff\xfe\n", "is of an unknown binary kind"),
        (b'{"address": [1]}\n', "is JSON; save"),
        (b"0x4000: R 0x7ffe10\n0x4004: W 0x7ffe18\n", "is Pin's pinatrace"),
        (b"r 1000 4\nw 1008 4\n", "is Dinero's extended kind"),
        (b"desc: I1 cache\ncmd: true\n", "is cachegrind's"),
        (b"<html>\n", "is XML or HTML"),
        (b"hello world\nmore text\n", "is text of an unknown kind .'hello world'.; read are: CSV"),
        (b"", "is empty; it may be truncated"),
        (b" \n\n", "holds nothing but spaces"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """By its name, in one line without a byte of it that does not print."""
    for packed in (content, gzip.compress(content)):
        with pytest.raises(UserError, match=f"trace.csv: {message}") as caught:
            read_trace(written(tmp_path, packed, "trace.csv"))
        assert str(caught.value).isprintable()


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Damaged traces, and any bytes, are read or refused in one printable line."""
    whole = [csv_text().encode(), npy(np.arange(9)), parquet(), gzip.compress(csv_text().encode())]
    whole += [text.encode() for text, _ in TEXTS.values()]
    content = bytearray(data.draw(st.one_of(st.sampled_from(whole), st.binary(max_size=200))))
    for _ in range(data.draw(st.integers(0, 3))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "any"
    file.write_bytes(bytes(content))
    told = ""
    try:
        read_trace(file)
    except UserError as error:
        told = str(error)
    assert told.isprintable()
    assert len(told) < 700


def test_an_array_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    header = (
        npy(np.zeros(10, np.uint64))
        .replace(b"(10,), }", b"(10000000000000,), }")
        .replace(b"                    ", b"        ", 1)
    )
    with pytest.raises(UserError, match=r"would take .* of memory"):
        read_trace(written(tmp_path, header))


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such trace file"):
        read_trace(tmp_path / "none.npy")
    with pytest.raises(UserError, match="is a directory"):
        read_trace(tmp_path)

"""The same table from one process, two, and a Dask cluster over TCP; and after kills."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import cgsim
from cgsim.errors import UserError
from cgsim.studies.store import Store

STUDY = {
    "name": "kill",
    "designs": ["list", "table"],
    "workload": "network",
    "machine": "zen4-genoa",
    "factors": {"n_keys": [2, 5, 7], "n_cgroups": [50, 300]},
    "lookups": 300,
    "replicates": 5,
    "seed": 11,
}
ROWS = 60
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table that this process makes."""
    out = tmp_path_factory.mktemp("expected")
    cgsim.sweep(STUDY, out=out, workers=1, progress=False)
    return (out / "results.parquet").read_bytes()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study's file."""
    path = tmp_path_factory.mktemp("study") / "study.yml"
    path.write_text(json.dumps(STUDY))
    return path


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two worker processes over TCP: its address, and the workers."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    address = directory / "scheduler.json"
    started = [
        subprocess.Popen(
            [BIN / "dask", "scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard",
             "--scheduler-file", address],
            cwd=directory, env=environment, stderr=subprocess.DEVNULL,
        )
    ]  # fmt: skip
    try:
        while not address.exists():
            time.sleep(0.1)
        started += [
            subprocess.Popen(
                [BIN / "dask", "worker", "--scheduler-file", address, "--nworkers", "1",
                 "--nthreads", "1", "--no-dashboard", "--local-directory", directory],
                cwd=directory, env=environment, stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]  # fmt: skip
        yield json.loads(address.read_text())["address"], started[1:]
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(20)


def _wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


@pytest.mark.slow
def test_dask_gives_the_same_bytes(tmp_path: Path, study: Path, expected: bytes) -> None:
    """Two workers over TCP; then one of them is killed on the way, and its nanny starts another."""
    with cluster(tmp_path) as (address, workers):
        assert address.startswith("tcp://")
        _wait_for_workers(address, 2)
        cgsim.sweep(study, out=tmp_path / "a", scheduler=address, progress=False)
        run = subprocess.Popen(
            [BIN / "cgsim", "sweep", study, "--out", tmp_path / "b", "--scheduler", address],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not list((tmp_path / "b").glob("store/*.parquet")) and run.poll() is None:
            time.sleep(0.05)
        for child in psutil.Process(workers[0].pid).children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        assert run.wait(300) == 0
    for name in ("a", "b"):
        assert (tmp_path / name / "results.parquet").read_bytes() == expected
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest["points"] == {"computed": ROWS, "found": 0}


def test_no_scheduler_is_one_line(study: Path) -> None:
    """Said at once, with the address."""
    with pytest.raises(UserError, match=r"^scheduler 'tcp://127.0.0.1:9': cannot be reached"):
        cgsim.sweep(study, scheduler="tcp://127.0.0.1:9", progress=False)


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path, study: Path, expected: bytes) -> None:
    """SIGKILL of the main process or a worker, over and over: nothing is lost, or done twice.

    CGSIM_KILLS says how often (12).
    """
    out = tmp_path / "out"
    choose = random.Random(5)
    computed = 0
    for _ in range(int(os.environ.get("CGSIM_KILLS", "12"))):
        run = subprocess.Popen(
            [BIN / "cgsim", "sweep", study, "--out", out, "--workers", "2"],
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(choose.uniform(1.0, 12.0))
        children = psutil.Process(run.pid).children() if run.poll() is None else []
        victim = choose.choice([run.pid, *(c.pid for c in children)])
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        if victim != run.pid:
            # a worker: the run goes on by itself
            time.sleep(choose.uniform(0.0, 3.0))
            with contextlib.suppress(ProcessLookupError):
                run.kill()
        run.wait(60)
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.wait(20)
        store = Store(out / "store") if out.exists() else ()
        assert len(store) >= computed, "a point was lost"
        computed = len(store)
    cgsim.sweep(study, out=out, workers=2, progress=False)
    assert (out / "results.parquet").read_bytes() == expected
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["points"] == {"computed": ROWS - computed, "found": computed}

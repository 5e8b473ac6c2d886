"""Tasks on several threads of this process; the loops release the interpreter's lock."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def on_threads(task: Callable[[int], Any], number: int, threads: int) -> list[Any]:
    """[task(0), ...]: each host thread, this one among them, takes the next one that is left."""
    results: list[Any] = [None] * number
    errors: list[BaseException] = []
    left = iter(range(number))
    lock = threading.Lock()

    def work() -> None:
        try:
            while not errors:
                with lock:
                    i = next(left, None)
                if i is None:
                    return
                results[i] = task(i)
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(min(threads, number) - 1)]
    for worker in workers:
        worker.start()
    work()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return results

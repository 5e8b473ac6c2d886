"""A heap whose objects lie as in the measured run: recorded strides and slabs, one page size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgsim.core.heap import PAGE_2M, PAGE_4K, Heap, prefill
from cgsim.core.space import Native
from cgsim.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZES = {"4k": PAGE_4K, "huge": PAGE_2M}


class PlacedHeap(Heap):
    """A heap on pages of one size.

    Parameters
    ----------
    memory_bytes, seed : as `Heap`
    pages : a key of `PAGE_SIZES`
    slabs : struct -> (stride, slab_bytes) of its cache, in bytes; other structs as SLUB has them
    """

    def __init__(
        self, memory_bytes: int, *, seed: int, pages: str, slabs: Mapping[str, tuple[int, int]]
    ) -> None:
        self._page_size = PAGE_SIZES[pages]
        self._slabs = slabs
        self._placement_seed = seed
        super().__init__(memory_bytes, seed=seed, cpus=2)

    def add_cache(
        self,
        struct,
        object_bytes,
        *,
        stride_bytes=None,
        slab_bytes=None,
        node=0,
        page_size=None,
        name=None,
    ):
        """As `Heap.add_cache`; the page size is the heap's own."""
        if stride_bytes is None and struct in self._slabs:
            stride_bytes, slab_bytes = self._slabs[struct]
        return super().add_cache(
            struct,
            object_bytes,
            stride_bytes=stride_bytes,
            slab_bytes=slab_bytes,
            node=node,
            page_size=self._page_size,
            name=name,
        )

    def shuffle(self, cache: int, objects: int) -> None:
        """Make room for `objects` in slabs next to each other, to be handed out in random order."""
        if not prefill(Native(self.mem, self.block), cache, objects, self._placement_seed):
            raise UserError("validate scale: the simulated memory is exhausted")

"""The kernel that runs a notebook: this Python, a safe import path, an end with its parent.

`python -P -m cgsim.report.notebook_kernel -f CONNECTION_FILE` is what `kernel_manager` starts. A
kernel that Jupyter finds by name could be any user's or any interpreter's.
"""

from __future__ import annotations

import os
import sys


def kernel_manager() -> type:
    """The class of manager that starts such kernels, for papermill's `kernel_manager_class`."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class KernelManager(AsyncKernelManager):
        """Starts this module as the kernel, whatever kernel was named."""

        @property
        def kernel_spec(self) -> KernelSpec:
            """The command of the kernel."""
            return KernelSpec(
                argv=[sys.executable, "-P", "-m", __name__, "-f", "{connection_file}"],
                display_name="Python 3",
                language="python",
                env={"PYTHONSAFEPATH": "1"},
            )

    return KernelManager


def main() -> None:
    """Run the kernel in this process."""
    from cgsim.processes import end_with_parent
    from cgsim.report.imports import skip_address_grammar

    end_with_parent(int(os.environ.get("JPY_PARENT_PID", os.getppid())))
    skip_address_grammar()
    from ipykernel.kernelapp import IPKernelApp

    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()

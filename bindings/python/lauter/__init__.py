# SPDX-License-Identifier: Apache-2.0
"""Run other people's code in worker processes that cannot hurt this one.

    import lauter

    with lauter.Worker(lauter.Policy.notebook(read=["data"], limit={"memory": "1G", "wall": "10m"})) as worker:
        worker.run("import numpy as np; x = np.arange(10**7)")
        worker.eval("x.sum()")

A `Worker` is a process tree in a sandbox, a `Policy` what it may do, a `Report` how it ended. `lauter.aio` is the same for
asyncio, `Executor` for `concurrent.futures`. What comes out of a worker is data: nothing of it runs here.
"""

from ._base import Prompt
from ._channel import Channel
from ._errors import (
    ChannelCancelled,
    ChannelClosed,
    DeniedError,
    Error,
    Interrupted,
    InvalidError,
    LaunchError,
    LimitError,
    NotExecutableError,
    NotFoundError,
    PolicyError,
    ProtocolError,
    RemoteError,
    RemoteTraceback,
    StateError,
    SystemCallError,
    TimeoutError,
    UnsupportedError,
    WorkerDied,
)
from ._execution import Completion, Execution, Output
from ._future import Future
from ._native import version as __version__
from ._policy import Policy
from ._report import Report
from ._values import NoValueForm, Sealed
from ._worker import Worker, doctor

__all__ = [
    "Channel",
    "ChannelCancelled",
    "ChannelClosed",
    "Completion",
    "DeniedError",
    "Error",
    "Execution",
    "Future",
    "Interrupted",
    "InvalidError",
    "LaunchError",
    "LimitError",
    "NoValueForm",
    "NotExecutableError",
    "NotFoundError",
    "Output",
    "Policy",
    "PolicyError",
    "Prompt",
    "ProtocolError",
    "RemoteError",
    "RemoteTraceback",
    "Report",
    "Sealed",
    "StateError",
    "SystemCallError",
    "TimeoutError",
    "UnsupportedError",
    "Worker",
    "WorkerDied",
    "__version__",
    "doctor",
]

for _name in __all__:
    # Where they are documented, and how tracebacks name them.
    if getattr(globals()[_name], "__module__", "").startswith("lauter._"):
        globals()[_name].__module__ = "lauter"
del _name

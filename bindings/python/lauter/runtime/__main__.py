# SPDX-License-Identifier: Apache-2.0
"""Started as `python -u <folder>/__main__.py` (or `python <folder>`) with the descriptors of docs/protocol.md."""

import sys

# The folder is on the path only while our package is found: no module of ours can shadow a user's.
_folder = sys.path[0]
import lauter_runtime.worker as _worker

# As in an interactive interpreter, the working directory comes first.
sys.path[:] = [""] + [path for path in sys.path if path != _folder]
_worker.main()

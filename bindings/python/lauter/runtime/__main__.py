# SPDX-License-Identifier: Apache-2.0
"""Started as `python -u <folder>/__main__.py` with the descriptors of docs/protocol.md.

`python <folder>` works too, but loads runpy, which doubles Python 3.9's start; without `-u` C's stdio is buffered.
"""

import os
import sys

# The folder is on the path only while our package is found: no module of ours can shadow a user's.
_folder = os.path.dirname(os.path.abspath(__file__))
_path = [path for path in sys.path if path != _folder and path != os.path.dirname(__file__)]
sys.path[:] = [_folder] + _path
import lauter_runtime.worker as _worker

# As in an interactive interpreter the working directory comes first, unless -I or -P keep it out.
sys.path[:] = _path if sys.flags.isolated or getattr(sys.flags, "safe_path", False) else [""] + _path
_worker.main()

# SPDX-License-Identifier: Apache-2.0
"""The Python runtime of a Lauter worker: serves docs/profile.md over docs/protocol.md.

What is imported before `ready` decides how fast a worker starts, and in a read-only folder without bytecode it is
compiled each time. So `worker`, `session` and `interrupt` are small and use C modules alone (`_signal` instead of
`signal`, which builds enumerations); everything else is imported when it is first needed.
"""

FOLDER = __path__[0] + "/"
"""Where our own frames come from; tracebacks leave them out."""

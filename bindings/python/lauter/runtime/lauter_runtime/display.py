# SPDX-License-Identifier: Apache-2.0
"""`display()` and its kin, with the signatures that notebooks know from IPython."""

import os
import sys

from . import streams, worker
from .interrupt import load

__all__ = ["DisplayHandle", "clear_output", "display", "publish_display_data", "update_display"]


sink = None
"""While it is set, bundles and their metadata go there instead of to the notebook."""


class DisplayHandle:
    """A display that can be changed later: `handle = display(x, display_id=True); handle.update(y)`."""

    def __init__(self, display_id=None):
        self.display_id = display_id if display_id is not None else _new_id()

    def __repr__(self):
        return "<%s display_id=%s>" % (type(self).__name__, self.display_id)

    def display(self, obj, **arguments):
        """Show `obj` under this id."""
        display(obj, display_id=self.display_id, **arguments)

    def update(self, obj, **arguments):
        """Show `obj` where this id was shown."""
        update_display(obj, display_id=self.display_id, **arguments)


def display(
    *objs, include=None, exclude=None, metadata=None, transient=None, display_id=None, raw=False, clear=False, **more
):
    """Show values in the notebook, each as a MIME bundle. With `raw`, they are bundles already: dicts by media type.

    With `display_id` (True: a new one) the result is a handle whose update() replaces what is shown.
    """
    handle = None
    if display_id is not None:
        handle = DisplayHandle(None if display_id is True else str(display_id))
    if clear:
        clear_output(wait=True)
    name = "update" if more.pop("update", False) else "display"
    if not objs and handle is not None:
        objs, raw = ({},), True  # an empty place, to be filled later
    for obj in objs:
        _show(name, obj, include, exclude, metadata, handle.display_id if handle else None, raw)
    return handle


def update_display(obj, *, display_id, **arguments):
    """Show `obj` in place of what was displayed under `display_id`."""
    display(obj, display_id=display_id, update=True, **arguments)


def clear_output(wait=False):
    """Remove what the cell has shown so far; with `wait`, only when the next output comes."""
    if sink is not None:
        return
    _send("clear", [("application/vnd.lauter.metadata+json", b'{"wait":true}' if wait else b'{"wait":false}')])


def publish_display_data(data, metadata=None, *, transient=None, update=False, **_):
    """Show a MIME bundle."""
    display_id = (transient or {}).get("display_id")
    _publish("update" if update else "display", data, metadata or {}, display_id)


def _show(name, obj, include, exclude, metadata, display_id, raw):
    bundle = load(".bundle")
    if raw:
        _publish(name, obj, metadata or {}, display_id)
        return
    if display_id is None and shows_itself(obj):
        return
    data, own = bundle.bundle_of(obj, include, exclude)
    own.update(metadata or {})
    _publish(name, data, own, display_id)


def shows_itself(obj):
    """Have a value show itself by its `_ipython_display_`; False if it has none, or that fails."""
    show = load(".bundle").method_of(obj, "_ipython_display_")
    if show is None:
        return False
    try:
        show()
    except NotImplementedError:
        return False
    except Exception:
        load(".failure").complain()
        return False
    return True


def _publish(name, data, metadata, display_id):
    if not isinstance(data, dict):
        raise TypeError("a MIME bundle is a dict by media type, not %s" % type(data).__name__)
    if sink is not None:
        sink(data, metadata)
        return
    if not _send(name, load(".bundle").parts(data, metadata, display_id)):
        # In a forked child, or in a thread after its cell has ended: nobody could say where it belongs.
        sys.stdout.write("%s\n" % data.get("text/plain", ""))


def _send(name, parts):
    streams.flush()
    if not worker.session.output(name, parts):
        return False
    # What is printed next takes another way and could overtake this: the answer says that it has arrived.
    worker.session.call("lauter.sync", [])
    return True


def _new_id():
    return os.urandom(16).hex()

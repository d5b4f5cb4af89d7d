# SPDX-License-Identifier: Apache-2.0
"""What we change in other modules, done when the user's code imports them and not before."""

import os
import sys

from . import FOLDER


class _Finder:
    """First on sys.meta_path: lets the others find the few modules that we care for, and wraps their loader."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _actions:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is _Finder or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, *_actions[name])
                return spec
        return None


class _Loader:
    def __init__(self, real, before, after):
        self._real = real
        self._before = before
        self._after = after

    def create_module(self, spec):
        return self._real.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self._real
        if self._before is not None:
            self._before()
        self._real.exec_module(module)
        if self._after is not None:
            self._after(module)

    def __getattr__(self, name):
        return getattr(self._real, name)


class _LastFinder:
    """Last on sys.meta_path: our module for the user's code, and where IPython is not installed, `from IPython.display
    import …` still works."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "IPython" or name == "IPython.display":
            from . import ipython

            return ipython.spec_of(name)
        if name == "lauter_worker":
            from importlib.util import spec_from_file_location

            return spec_from_file_location(name, FOLDER + "modules/lauter_worker.py")
        return None


def set_up():
    """Begin to watch imports."""
    for name, (_, after) in _actions.items():
        module = sys.modules.get(name)
        if module is not None and after is not None:
            after(module)
    sys.meta_path.insert(0, _Finder)
    sys.meta_path.append(_LastFinder)


def _after_linecache(module):
    from . import cells

    for filename, source in cells.sources.items():
        cells.cache_lines(module, filename, source)


def _after_signal(module):
    from . import signals

    signals.after_import(module)


def _after_getpass(module):
    from . import ask

    module.getpass = ask.getpass


def _before_matplotlib():
    # Where the home cannot be written matplotlib warns and makes a folder of its own each time.
    if "MPLCONFIGDIR" in os.environ:
        return
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    while folder and not os.path.exists(folder):
        folder = os.path.dirname(folder)
    if not os.access(folder or "/", os.W_OK):
        import tempfile

        os.environ["MPLCONFIGDIR"] = os.path.join(tempfile.gettempdir(), "matplotlib-%d" % os.getuid())


def _after_matplotlib(module):
    # By rcParams and not by MPLBACKEND: children would inherit a backend that they cannot find.
    if "MPLBACKEND" not in os.environ:
        module.rcParams["backend"] = "module://" + __package__ + ".figures"


def _after_ipython(module):
    from . import display

    for name in ("display", "update_display", "clear_output", "publish_display_data", "DisplayHandle"):
        if hasattr(module, name):
            setattr(module, name, getattr(display, name))


_actions = {
    "linecache": (None, _after_linecache),
    "signal": (None, _after_signal),
    "getpass": (None, _after_getpass),
    "matplotlib": (_before_matplotlib, _after_matplotlib),
    "IPython.core.display": (None, _after_ipython),
    "IPython.core.display_functions": (None, _after_ipython),
}

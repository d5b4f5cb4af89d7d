# SPDX-License-Identifier: Apache-2.0
"""Stands in for `IPython.display` where IPython is not installed: notebooks import their display functions from there.

`IPython.get_ipython()` says None, as the real one does outside of a shell: nobody is led to believe in more than there
is.
"""

import sys
from importlib.machinery import ModuleSpec

from .display import DisplayHandle, clear_output, display, publish_display_data, update_display

__all__ = ["display", "update_display", "clear_output", "publish_display_data", "DisplayHandle", "DisplayObject"]
__all__ += ["HTML", "Markdown", "Latex", "Math", "SVG", "JSON", "Javascript", "Pretty", "Image", "IFrame"]


def spec_of(name):
    """The import system's description of `IPython` or `IPython.display`."""
    return ModuleSpec(name, _Loader, is_package=name == "IPython")


class _Loader:
    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        if module.__name__ == "IPython":
            module.__doc__ = __doc__
            module.version_info = (8, 0, 0, "lauter")
            module.__version__ = "8.0.0+lauter"
            module.get_ipython = lambda: None
            module.display = sys.modules[__name__].display
        else:
            module.__all__ = list(__all__)
            for name in __all__:
                setattr(module, name, globals()[name])


class DisplayObject:
    """Data, or where it is read from, and how it is to be shown."""

    _binary = False
    _method = None

    def __init__(self, data=None, url=None, filename=None, metadata=None):
        if isinstance(data, (str, bytes)) and filename is None and url is None and self._looks_like_file(data):
            filename, data = data, None
        self.url = url
        self.filename = filename
        self.metadata = metadata or {}
        self.data = data
        if data is None and filename is not None:
            mode, encoding = ("rb", None) if self._binary else ("r", "utf-8")
            with open(filename, mode, encoding=encoding) as file:
                self.data = file.read()

    def _looks_like_file(self, data):
        return False

    def _bundle(self):
        return {self._media: self.data}

    def _repr_mimebundle_(self, include=None, exclude=None):
        bundle = {media: data for media, data in self._bundle().items() if data is not None}
        bundle["text/plain"] = repr(self)
        return bundle, {media: self.metadata for media in bundle if self.metadata and media != "text/plain"}

    def __repr__(self):
        return "<IPython.core.display.%s object>" % type(self).__name__


class HTML(DisplayObject):
    """HTML text."""

    _media = "text/html"


class Markdown(DisplayObject):
    """Markdown text."""

    _media = "text/markdown"


class Latex(DisplayObject):
    """LaTeX text."""

    _media = "text/latex"


class Math(Latex):
    """A formula in LaTeX, without the dollars."""

    def _bundle(self):
        return {self._media: "$\\displaystyle %s$" % self.data.strip("$")}


class SVG(DisplayObject):
    """An SVG drawing: its text, or the file's name."""

    _media = "image/svg+xml"

    def _looks_like_file(self, data):
        return isinstance(data, str) and "<" not in data


class JSON(DisplayObject):
    """A value that is shown as JSON."""

    _media = "application/json"

    def __init__(self, data=None, url=None, filename=None, expanded=False, metadata=None, root="root", **options):
        metadata = dict(metadata or {}, expanded=expanded, root=root, **options)
        super().__init__(data, url, filename, metadata)
        if isinstance(self.data, (str, bytes)):
            import json

            self.data = json.loads(self.data)


class Javascript(DisplayObject):
    """A script for the frontend, which may refuse to run it."""

    _media = "application/javascript"


class Pretty(DisplayObject):
    """Plain text."""

    _media = "text/plain"

    def __repr__(self):
        return self.data


class IFrame:
    """A frame that shows another page."""

    def __init__(self, src, width, height, **params):
        self.src, self.width, self.height, self.params = src, width, height, params

    def _repr_html_(self):
        from html import escape
        from urllib.parse import urlencode

        source = self.src + ("?" + urlencode(self.params) if self.params else "")
        return '<iframe width="%s" height="%s" src="%s" frameborder="0" allowfullscreen></iframe>' % (
            escape(str(self.width)),
            escape(str(self.height)),
            escape(source),
        )


class Image(DisplayObject):
    """A picture: its bytes, the name of a file, or a URL that the frontend fetches."""

    _binary = True
    _kinds = ((b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8", "image/jpeg"), (b"GIF8", "image/gif"))

    def __init__(
        self,
        data=None,
        url=None,
        filename=None,
        format=None,
        embed=None,
        width=None,
        height=None,
        metadata=None,
        alt=None,
    ):
        if isinstance(data, str) and data.startswith(("http://", "https://", "data:")):
            url, data = data, None
        super().__init__(data, url, filename, metadata)
        for name, value in (("width", width), ("height", height), ("alt", alt)):
            if value is not None:
                self.metadata = dict(self.metadata, **{name: value})
        self.format = format
        if self.data is None and url is None:
            raise ValueError("an image needs data, a file name or a URL")

    def _looks_like_file(self, data):
        return isinstance(data, str)

    def _bundle(self):
        if self.data is None:
            from html import escape

            names = "".join(' %s="%s"' % (name, escape(str(value))) for name, value in self.metadata.items())
            return {"text/html": '<img src="%s"%s/>' % (escape(self.url), names)}
        for head, media in self._kinds:
            if self.data.startswith(head):
                return {media: self.data}
        kind = (self.format or "png").lower()
        return {"image/jpeg" if kind == "jpg" else "image/" + kind: self.data}

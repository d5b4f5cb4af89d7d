# SPDX-License-Identifier: Apache-2.0
"""A value as a MIME bundle, by the `_repr_*_` methods that notebooks know."""

import sys

from .interrupt import load

METADATA = "application/vnd.lauter.metadata+json"

_METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("application/pdf", "_repr_pdf_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("text/latex", "_repr_latex_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)


def parts_of(value, include=None, exclude=None):
    """The parts of a value's bundle: representations, `text/plain` first, then metadata if there is any."""
    return parts(*bundle_of(value, include, exclude))


def bundle_of(value, include=None, exclude=None):
    """Representations and metadata by media type. What a representation raises goes to standard error."""
    data, metadata = {}, {}
    own = _call(value, "_repr_mimebundle_", include=include, exclude=exclude)
    if isinstance(own, tuple) and len(own) == 2:
        own, metadata = own[0], dict(own[1] or {})
    if isinstance(own, dict):
        data.update(own)
    for media, method in _METHODS:
        if media in data or (include and media not in include):
            continue
        result = _call(value, method)
        if isinstance(result, tuple) and len(result) == 2:
            result, metadata[media] = result
        if result is not None:
            data[media] = result
    if "matplotlib.figure" in sys.modules and "image/png" not in data:
        image = load(".plots").png_of(value)
        if image is not None:
            data["image/png"] = image
    if "text/plain" not in data:
        data["text/plain"] = load(".pretty").text(value)
    if include:
        data = {media: each for media, each in data.items() if media in include}
    if exclude:
        data = {media: each for media, each in data.items() if media not in exclude}
    return data, {media: each for media, each in metadata.items() if media in data and each}


def parts(data, metadata, display_id=None):
    """A bundle as parts of a message. What cannot be encoded is left out, with the reason on standard error."""
    result = []
    plain = data.get("text/plain")
    for media, each in ([("text/plain", plain)] if plain is not None else []) + [
        item for item in data.items() if item[0] != "text/plain"
    ]:
        try:
            result.append((media, encode(media, each)))
        except Exception:
            _complain()
    extra = {}
    if display_id is not None:
        extra["display_id"] = display_id
    if metadata:
        extra["metadata"] = metadata
    if extra:
        try:
            result.append((METADATA, load("json").dumps(extra).encode()))
        except Exception:
            _complain()
    return result


def encode(media, value):
    """The bytes of one representation: text as UTF-8, JSON serialised, anything else raw (base64 is undone)."""
    is_json = media == "application/json" or media.endswith("+json")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if is_json:
        return load("json").dumps(value).encode()
    if isinstance(value, str):
        if media.startswith("text/") or media in ("image/svg+xml", "application/javascript"):
            return value.encode("utf-8", "backslashreplace")
        if media.startswith(("image/", "audio/", "video/")) or media == "application/pdf":
            return load("binascii").a2b_base64(value)
        return value.encode("utf-8", "backslashreplace")
    if isinstance(value, (dict, list)):
        return load("json").dumps(value).encode()
    return str(value).encode("utf-8", "backslashreplace")


def method_of(value, name):
    """A value's own method of this name. None for classes, and for proxies that have an answer to every name."""
    if isinstance(value, type):
        return None
    try:
        if getattr(value, "_lauter_has_no_such_method_", None) is not None:
            return None
        method = getattr(value, name, None)
    except Exception:
        return None
    return method if callable(method) else None


def _call(value, name, **arguments):
    method = method_of(value, name)
    if method is None:
        return None
    try:
        return method(**arguments)
    except NotImplementedError:
        return None
    except Exception:
        _complain()
        return None


def _complain():
    load(".failure").complain()

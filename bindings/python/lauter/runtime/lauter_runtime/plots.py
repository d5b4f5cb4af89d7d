# SPDX-License-Identifier: Apache-2.0
"""matplotlib figures as images."""

import io
import sys

from .interrupt import load


def png_of(value):
    """The image of a figure, None for anything else (or for a figure that cannot be drawn: see standard error)."""
    if not isinstance(value, sys.modules["matplotlib.figure"].Figure):
        return None
    if not value.axes and not getattr(value, "lines", None) and not getattr(value, "subfigs", None):
        return None
    try:
        image = io.BytesIO()
        canvas = value.canvas
        if not hasattr(canvas, "print_png"):
            canvas = load("matplotlib.backends.backend_agg").FigureCanvasAgg(value)
        canvas.print_figure(
            image,
            format="png",
            bbox_inches="tight",
            dpi=value.dpi,
            facecolor=value.get_facecolor(),
            edgecolor=value.get_edgecolor(),
        )
        return image.getvalue()
    except Exception:
        load(".failure").complain()
        return None

# SPDX-License-Identifier: Apache-2.0
"""A matplotlib backend: open figures are shown by plt.show(), or when their cell ends, and closed."""

from matplotlib import get_backend
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from . import display


class FigureManager(FigureManagerBase):
    """A figure without a window."""

    def show(self):
        """Show this figure now: `fig.show()`."""
        _show(self)


class FigureCanvas(FigureCanvasAgg):
    """Agg's canvas with our manager."""

    manager_class = FigureManager


def new_figure_manager(num, *arguments, FigureClass=None, **keywords):
    """A new figure, as pyplot asks for it."""
    if FigureClass is None:
        from matplotlib.figure import Figure as FigureClass
    return new_figure_manager_given_figure(num, FigureClass(*arguments, **keywords))


def new_figure_manager_given_figure(num, figure):
    """A manager for `figure`."""
    return FigureManager(FigureCanvas(figure), num)


def show(*_, **__):
    """Show all open figures, in the order of their making, and close them: `plt.show()`."""
    for manager in Gcf.get_all_fig_managers():
        _show(manager)


def _show(manager):
    figure = manager.canvas.figure
    try:
        if figure.axes or figure.lines or getattr(figure, "subfigs", None):
            display.display(figure)
    finally:
        Gcf.destroy(manager.num)


def publish(value):
    """At a cell's end: show what is open, but for the cell's own value, which is shown as its result."""
    if not Gcf.figs or not get_backend().endswith(__name__):
        return
    for manager in Gcf.get_all_fig_managers():
        if manager.canvas.figure is value:
            Gcf.destroy(manager.num)
        else:
            _show(manager)

"""Figures of a page as images that are part of it."""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["image"]


def image(
    draw: Callable[["Axes"], object], *, width: float = 6.0, height: float = 3.5, projection: str | None = None
) -> str:
    """A figure as the address of an image (``data:image/png;base64,...``).

    Parameters
    ----------
    draw
        Draws on the axes that it is given.
    width, height
        In inches.

    Examples
    --------
    >>> image(lambda ax: ax.plot([1, 2]), width=2.0, height=1.0)[:22]
    'data:image/png;base64,'
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110)
    FigureCanvasAgg(figure)
    ax = figure.add_subplot(projection=projection)
    draw(ax)
    # margins that are fixed take no second drawing, as those that fit would
    left = 1.35 if ax.get_yticklabels() and not ax.get_ylabel() and projection is None else 0.75
    figure.subplots_adjust(left=left / width, right=1 - 0.2 / width, bottom=0.5 / height, top=1 - 0.3 / height)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"

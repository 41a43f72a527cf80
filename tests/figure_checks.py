"""What every figure's test asks: which words are in it, and whether they can be read."""

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg

from hypertax.figures.style import SMALL


def texts(fig) -> list[str]:
    return [
        text.get_text()
        for text in fig.findobj(matplotlib.text.Text)
        if text.get_text().strip() and text.get_visible()
    ]


def assert_readable(fig) -> None:
    """No text is too small, and none but ticks' is cut at the figure's edge."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    ticks = {
        tick
        for ax in fig.axes
        for tick in (*ax.get_xticklabels(which="both"), *ax.get_yticklabels(which="both"))
    }
    for text in fig.findobj(matplotlib.text.Text):
        if text.get_text().strip() and text.get_visible() and text not in ticks:
            box = text.get_window_extent(renderer)
            assert text.get_fontsize() >= SMALL, text.get_text()
            assert (
                box.x0 > -1
                and box.y0 > -1
                and box.x1 < fig.bbox.width + 1
                and box.y1 < fig.bbox.height + 1
            ), text.get_text()

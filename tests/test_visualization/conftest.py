import pytest
from helpers.matched import match  # noqa: F401


@pytest.fixture
def axes_of():
    """The axes of a figure by label."""

    def axes_of(figure):
        return {axes.get_label(): axes for axes in figure.axes}

    return axes_of

from helpers.draw import draw  # noqa: F401

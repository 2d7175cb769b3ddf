from helpers.matched import axes_of, match  # noqa: F401

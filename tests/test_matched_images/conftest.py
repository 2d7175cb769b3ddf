from helpers.matched import match  # noqa: F401

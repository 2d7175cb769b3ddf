from helpers.draw import draw  # noqa: F401
from helpers.log import log  # noqa: F401

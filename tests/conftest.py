"""How far the property tests search.

By default the same few examples in every run. A long search of new ones:
``pytest --hypothesis-profile=long``.
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    'short', deadline=None, derandomize=True, max_examples=25
)
settings.register_profile(
    'long',
    deadline=None,
    max_examples=2000,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile('short')

"""Training hooks, registered in ``HOOKS``."""

from .._host import check_host

check_host()

from .matching_diagnostics_hook import MatchingDiagnosticsHook
from .matching_schedule_hook import MatchingScheduleHook
from .reproducible_resume_hook import ReproducibleResumeHook
from .resume_hook import ResumeHook

__all__ = [
    'MatchingDiagnosticsHook',
    'MatchingScheduleHook',
    'ReproducibleResumeHook',
    'ResumeHook',
]

"""Property tests everywhere: the same examples every time, and no clock that a busy machine would lose against."""

from hypothesis import settings

from properties.profile import SOME

settings.register_profile("supportrelay", SOME, max_examples=settings.default.max_examples if settings.default else 100)
settings.load_profile("supportrelay")

"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# Shared machines stall for moments; how long an example takes is no property of the code.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

"""Compile ahead, while an image is built: `python -m ippolicy.ipamd.fast`."""

from __future__ import annotations

from ippolicy.ipamd.fast.compiled import prebuild

prebuild()

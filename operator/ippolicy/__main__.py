"""`python -m ippolicy`, as an image without scripts on its path starts it."""

from __future__ import annotations

from ippolicy.cli import main

main()

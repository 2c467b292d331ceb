"""What holds for all tests."""

import os

from hypothesis import settings

# CI judges a change, so it asks the same of each; new examples are for whoever works here.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

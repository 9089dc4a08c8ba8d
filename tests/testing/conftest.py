"""Networks in these tests are as tiny as those of tests/networks."""

from networks.conftest import one_thread  # noqa: F401

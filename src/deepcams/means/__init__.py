"""Daily, monthly, seasonal and annual means of hourly fields, and how often they exceed the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.means.run import Summary as Summary
    from deepcams.means.run import means_to as means_to
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__, {"Summary": ".run", "means_to": ".run"}
    )

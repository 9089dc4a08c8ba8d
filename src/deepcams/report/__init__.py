"""Report of a run as one self-contained HTML file: settings, provenance, tables, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepcams.core.lazy import lazy_names

if TYPE_CHECKING:
    from deepcams.report.report import write_report as write_report
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "write_report": ".report",
        },
    )

"""What happened to a model's data, from counts alone: `analyse` of some `Evidence`.

Pure: knows no source, store, clock, alert or page. What an incident is judged on comes in, what
a person on call reads first comes out.
"""

from drift_exporter.analysis.analyse import Analysis, analyse, columns_to_date
from drift_exporter.analysis.classify import Classification
from drift_exporter.analysis.columns import columns_to_sketch
from drift_exporter.analysis.evidence import (
    Evidence,
    Slices,
    from_mapping,
    slices_of,
    to_mapping,
)
from drift_exporter.analysis.faults import Kind

__all__ = [
    "Analysis",
    "Classification",
    "Evidence",
    "Kind",
    "Slices",
    "analyse",
    "columns_to_date",
    "columns_to_sketch",
    "from_mapping",
    "slices_of",
    "to_mapping",
]

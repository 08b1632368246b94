"""mlbom: signed provenance, ML-BOM and model card for machine-learning projects."""

__version__ = "0.1.0"

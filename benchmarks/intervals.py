"""Intervals for measured shares: those of the product, under the name the benchmarks have for them."""

from countersign.evidence.intervals import wilson

__all__ = ["wilson"]

"""Batches: many contracts given at once, and stored reviews analysed again by another arm.

`window` is the pure state machine that the workflow owns, `payloads` is what travels, `report` and `compare` say what
came of it, `pages` writes it as one page. `countersign.store.batches` holds what stands behind a position.
"""

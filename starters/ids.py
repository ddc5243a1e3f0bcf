"""Ids of reviews and of their workflows, as `countersign.review.ids` makes them."""

from countersign.review.ids import base32, new_review_id, workflow_id_of

__all__ = ["base32", "new_review_id", "workflow_id_of"]

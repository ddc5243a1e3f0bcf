"""Names of what is analysed again: its own lease, workflow and rows of the ledger, apart from those of the review."""

from countersign.batch.payloads import BatchKey


def rerun_key(key: BatchKey, position: int) -> str:
    """The rerun's own id, in the place of a review's."""
    return f"rerun-{key.batch_id}-{position}"


def rerun_workflow_id(key: BatchKey, position: int) -> str:
    """Its workflow."""
    return f"rerun-{key.tenant}-{key.batch_id}-{position}"


def batch_workflow_id(key: BatchKey) -> str:
    """The one workflow of a batch."""
    return f"batch-{key.tenant}-{key.batch_id}"

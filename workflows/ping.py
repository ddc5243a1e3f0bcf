"""PingWorkflow: liveness as a real workflow round trip. A process check would not notice a wedged worker."""

from temporalio import workflow


@workflow.defn
class PingWorkflow:
    """Answers at once; that it answers at all is what counts."""

    @workflow.run
    async def run(self) -> str:
        """`pong`"""
        return "pong"

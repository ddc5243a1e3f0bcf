"""The wiring that worker, client and Replayer share: converter, interceptors, registrations, as one plugin."""

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from workers.scrub import ScrubErrors

PASSED_THROUGH = ("pydantic", "pydantic_core", "annotated_types", "typing_extensions")
"""Imported once instead of once a workflow instance: the sandbox's cost is the size of what it executes again."""


def workflow_runner() -> WorkflowRunner:
    """The sandbox, with validation libraries passed through."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions)


def client_plugin() -> SimplePlugin:
    """The part that a client needs. It imports no workflow, and so none of the agents that workflows name."""
    return SimplePlugin("countersign", data_converter=pydantic_data_converter)


def countersign_plugin() -> SimplePlugin:
    """Converter, error scrubbing, workflows. Activities need services; `workers.run` gives them to the worker."""
    from workflows.batch import BatchWorkflow
    from workflows.ping import PingWorkflow
    from workflows.rerun import RerunWorkflow
    from workflows.review import ReviewWorkflow

    return SimplePlugin(
        "countersign",
        data_converter=pydantic_data_converter,
        interceptors=[ScrubErrors()],
        workflows=[ReviewWorkflow, PingWorkflow, BatchWorkflow, RerunWorkflow],
        workflow_runner=lambda _: workflow_runner(),
    )

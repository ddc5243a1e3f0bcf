"""The offline model: a model for the agents that needs no network, no key and no weights of others."""

from countersign.agents.offline.model import OfflineModel

__all__ = ["OfflineModel"]

"""Imported by the fork server: what a worker imports only when it needs it. Connects to nothing, starts no thread."""

import anthropic
import pydantic_ai.models.anthropic
import pydantic_ai.providers.anthropic
import redis.asyncio

import workflows.review

__all__ = ["anthropic", "pydantic_ai", "redis", "workflows"]

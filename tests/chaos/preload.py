"""Imported by the fork server: what a worker imports only when it needs it. Connects to nothing, starts no thread."""

import anthropic
import anyio._backends._asyncio
import genai_prices.data
import pydantic_ai.models.anthropic
import pydantic_ai.providers.anthropic
import redis.asyncio

import workflows.review

__all__ = ["anthropic", "anyio", "genai_prices", "pydantic_ai", "redis", "workflows"]

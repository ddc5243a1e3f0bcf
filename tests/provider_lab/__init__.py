"""A provider to test against: speaks the wire formats of Anthropic and OpenAI, and misbehaves by script."""

"""The built-in upstream: a local HTTP server that speaks OpenAI's API deterministically. No Django, no database."""

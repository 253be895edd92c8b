"""Signing in: what allauth asks us, what happens around it, and which of its pages are served."""

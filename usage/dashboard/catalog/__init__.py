"""Providers, models and prices, for platform administrators."""

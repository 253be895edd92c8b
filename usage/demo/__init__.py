"""Ninety days of invented usage, for looking at the product before there is any. Never mixed with real data."""

"""Measurements of the really running product: speed beside nginx (`run`), and kill -9 under load (`kill`)."""

"""WHAT IT COST: the gateway that writes events, the ledger that keeps them, the reports that read them."""

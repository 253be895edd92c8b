"""Every question the product answers. Reads buckets; events only for single calls. Knows nothing of pages."""

"""The spend explorer: any metric by any dimension over any time, from buckets, and why the cost changed."""

def context(request): return {}

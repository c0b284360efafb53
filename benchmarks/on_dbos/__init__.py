"""The same workloads on DBOS, with its default settings, by its documented asynchronous API."""

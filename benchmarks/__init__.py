"""What perdure costs, beside the raw floor of the same disk and beside DBOS: `python -m benchmarks`.

Each measurement is a child process with a fresh database file, so that nothing is warm by accident:

    on_perdure/   one module a workload, written against the public API only (`replay` looks a floor deeper)
    floor.py      the same rows in equal batches through the standard library's sqlite3, in one thread
    on_dbos/      the same workloads by DBOS's documented API; runs in a venv of its own
    plan.py       which workloads there are, how large, and what is aimed at
    rounds.py     runs them: the sides take turns, so that noise on the machine hits all of them
    table.py, chart.py   what comes out
"""

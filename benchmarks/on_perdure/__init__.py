"""The workloads on perdure: `measure(folder, ...)` gives figures by name. Each call needs a process of its own."""

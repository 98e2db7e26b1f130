"""How work runs on this machine: atomic files, memory, threads, number types, reading ahead."""

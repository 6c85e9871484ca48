"""From `gateway.yaml` to frozen values, with every fault at once: file, line, column, and what to write instead."""

"""The decision process: toggling prompt nodes, with SAM's answer as feedback."""

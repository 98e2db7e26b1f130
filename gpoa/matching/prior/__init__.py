"""The learned prior: from relational maps of a target and its reference to the probability that a pixel is
foreground."""

"""The learned parts: which node to toggle, and how good a mask is."""

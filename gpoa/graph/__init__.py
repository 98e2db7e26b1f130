"""The prompt graph: its nodes, and its projection to PyG's `HeteroData`."""

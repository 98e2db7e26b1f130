"""Pages, charts and pictures of a run or a benchmark."""

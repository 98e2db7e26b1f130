"""The model store: which models there are, where their files come from, and proof that a file is the right one."""

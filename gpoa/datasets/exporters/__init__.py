"""The masks of a run in the forms that other programs read; `registry` lists them."""

"""Any methods on any labelled classes: running, keeping rows, presenting them."""

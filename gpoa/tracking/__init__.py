"""What a training run leaves behind: metrics and checkpoints."""

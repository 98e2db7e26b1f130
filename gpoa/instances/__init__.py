"""Many objects in one image: seeds, one decoder call an object, merging, tiles, measurements."""

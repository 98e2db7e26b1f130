"""From a reference and a folder of targets to masks: the stages of one image, a folder of them, several processes."""

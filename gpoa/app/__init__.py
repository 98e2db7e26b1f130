"""The local web page: click on the object in one image, segment the folder, look, correct, learn, export."""

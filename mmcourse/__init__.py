"""mmcourse: from raw pixels, words and sound to a multimodal model. Importing it loads no framework."""

__version__ = "0.2.0"

"""Pictures made of pictures when they are written: thumbnails, other formats, sizes for platforms."""

"""What files of pictures hold beside their pixels, and how their pixels are meant."""

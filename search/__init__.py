"""Search backends that come with designopt; importing this registers them, without importing any of them."""

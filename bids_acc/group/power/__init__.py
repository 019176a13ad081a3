"""How often a declared model finds an assumed effect."""

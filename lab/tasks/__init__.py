"""Tools for kinds of work; nothing in the core imports them."""

"""What each experiment reports: the numbers first, then the text, tables and figures that present them."""

"""Stand-ins for the WebUI's `modules` package. Names follow the WebUI, code is our own."""

"""A small stand-in for the slice of AUTOMATIC1111's WebUI that sd-webui-omg uses. For the demo and the contract tests only."""

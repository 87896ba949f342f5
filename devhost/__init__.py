"""A small stand-in for the slice of AUTOMATIC1111's WebUI that sd-webui-omg uses; for demo and contract tests."""

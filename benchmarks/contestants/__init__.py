"""One module a contestant: `VENV`, perhaps `BASELINE` and `SLOW`, and `setup()`. See the README one folder up."""

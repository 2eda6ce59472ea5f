"""What tracing an LLM call costs, side by side with the peers. How to run and to read it: README.md beside this."""

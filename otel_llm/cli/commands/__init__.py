"""The commands, each a function with its options and its help; what they do is imported when one is asked for."""

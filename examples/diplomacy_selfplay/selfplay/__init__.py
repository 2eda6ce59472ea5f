"""Language models play Diplomacy against each other, watched by otel_llm.

What a program of one's own would copy is in `player` (one interaction) and `table` (a game and its phases): three
`with` blocks. The rest is the game: `board` (the engine), `prompts`, `clients` (four ways to call a model), and
`replies` and `faults` for playing without a model.
"""

"""The explorer of interleavings: a small language for protocols, its compiler, and the search.

`language` has the words, `compiler`, `rows` and `registers` make int programs of protocols,
`layout` places objects and registers in a state, `engine` steps and searches, `search` says what
came of it, and `schedule` draws a violation's shortest schedule.
"""

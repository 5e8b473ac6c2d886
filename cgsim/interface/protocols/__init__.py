"""The five interfaces as protocols for the explorer, close to the C that they would be.

Each module has the same verbs (`common.VERBS`), so that the same actors and the same mistakes are
played with all of them. `POSTED` and `SEED` are what a build's #ifdef would be.
"""

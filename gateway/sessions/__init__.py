"""Sessions: where they live, how they are refreshed, and how they end everywhere at once.

Read in this order: `outcomes` (what can happen), `store` with `lua/` (the one place where it is decided), `revocations`
and `feed` (how every process learns of it without asking), `ending` and `service` (what the endpoints call). `embedded`
starts a store of our own on a machine that has none.
"""

"""Which route a request asks for, and what that route demands. Pure: no clock, no disk, no network."""

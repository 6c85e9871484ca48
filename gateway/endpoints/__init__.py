"""The gateway's own HTTP endpoints: login, refresh, logout, keys, health. The one door to aiohttp's server."""

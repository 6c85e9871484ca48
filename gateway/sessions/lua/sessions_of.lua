-- The live sessions of a user, newest death last; forgets the ones that are over.
-- KEYS  index
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)

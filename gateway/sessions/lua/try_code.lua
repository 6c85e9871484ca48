-- Count one code for a login that waits; answers the tries left after it, -1 when there was none or no such login.
-- KEYS  login
local left = tonumber(redis.call('GET', KEYS[1]) or '0')
if left < 1 then return -1 end
return redis.call('DECR', KEYS[1])

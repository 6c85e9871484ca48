-- Count a failure of an address. They are forgiven one by one, so the time until the last of them is, is the count.
-- KEYS  address
-- ARGV  ms until one is forgiven, most that are counted
local step = tonumber(ARGV[1])
local left = math.min(math.max(redis.call('PTTL', KEYS[1]), 0), step * (tonumber(ARGV[2]) - 1)) + step
redis.call('SET', KEYS[1], 1, 'PX', left)
return {left}

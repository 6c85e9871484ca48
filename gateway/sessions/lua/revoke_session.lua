-- End one session; ending it twice is the same as once. Answers 2 when it was alive, 1 dead already, 0 not there.
-- KEYS  session, index, user
-- ARGV  sid, tombstone ms, reason
local state = redis.call('HGET', KEYS[1], 'st')
local stamp = math.max(now, number(redis.call('HGET', KEYS[3], 'last')))
redis.call('ZREM', KEYS[2], ARGV[1])
if not state then return {0, stamp} end
if state ~= 'a' then return {1, stamp} end
redis.call('HSET', KEYS[1], 'st', 'r', 'rr', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], now + tonumber(ARGV[2]))
return {2, stamp}

-- Put a set of signing keys in place of the one it was made from; of several who try, one wins.
-- KEYS  signing keys
-- ARGV  revision and mark of the set it was made from (0 and '' for none), its own revision and mark, document
local found = redis.call('HMGET', KEYS[1], 'n', 'm')
if number(found[1]) ~= tonumber(ARGV[1]) or (found[2] or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'n', ARGV[3], 'm', ARGV[4], 'd', ARGV[5])
return 1

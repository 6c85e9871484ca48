-- End every session of a user with one write: a cut-off that no later refresh or forgotten session slips past.
-- KEYS  user, index
-- ARGV  retention ms (no session lives longer), disable ('1')
local user = redis.call('HMGET', KEYS[1], 'cut', 'last', 'dis')
local cut = math.max(now, number(user[1]), number(user[2]))
local sids = redis.call('ZRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'cut', cut, 'last', cut)
if ARGV[2] == '1' then redis.call('HSET', KEYS[1], 'dis', '1') end
if ARGV[2] == '1' or user[3] == '1' then redis.call('PERSIST', KEYS[1])
else keep(KEYS[1], now + tonumber(ARGV[1])) end
return {cut, sids}

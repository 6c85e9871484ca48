-- End every session of a user with one write: a cut-off that no later refresh or forgotten session slips past.
-- KEYS  user, index
-- ARGV  retention ms (no session lives longer), disable ('1'), before ms ('' = now): what began later stays
local user = redis.call('HMGET', KEYS[1], 'cut', 'last', 'dis')
local before = tonumber(ARGV[3])
local cut, sids = math.max(now, number(user[1]), number(user[2])), {}
if before and before < now then
  -- The index stays: which sessions are older than the cut-off is seen when each of them is asked for.
  cut = math.max(before, number(user[1]))
else
  sids = redis.call('ZRANGE', KEYS[2], 0, -1)
  redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[1], 'cut', cut, 'last', math.max(cut, number(user[2])))
if ARGV[2] == '1' then redis.call('HSET', KEYS[1], 'dis', '1') end
if ARGV[2] == '1' or user[3] == '1' then redis.call('PERSIST', KEYS[1])
else keep(KEYS[1], now + tonumber(ARGV[1])) end
return {cut, sids}

-- Make a session.
-- KEYS  session, index, user
-- ARGV  sid, sha256(family), absolute ms, idle ms (0: none), max sessions (0: no limit), wide cut-off ms, grants,
--       then field/value pairs of facts for the session hash
local user = redis.call('HMGET', KEYS[3], 'cut', 'dis', 'last', 'gr')
if user[2] == '1' then return {'disabled'} end

-- A login in the very millisecond of a revoke-all must still work: its stamp is pushed past the cut-off.
local cut = math.max(number(user[1]), number(ARGV[6]))
local stamp = math.max(now, cut + 1)
local ends = now + tonumber(ARGV[3])
local idle = tonumber(ARGV[4])
local dies = ends
if idle > 0 then dies = math.min(ends, now + idle) end

redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
local evicted = {}
local limit = tonumber(ARGV[5])
if limit > 0 then
  -- All of the overage at once, soonest to die first; leaving the index is what ends them (see refresh.lua).
  local over = redis.call('ZCARD', KEYS[2]) - limit + 1
  if over > 0 then
    evicted = redis.call('ZRANGE', KEYS[2], 0, over - 1)
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, over - 1)
  end
end

local auth_time = math.floor(now / 1000)
-- The first parent is -1, which no token can carry. `ca` is the stamp, not the time: cut-offs compare with it.
redis.call('HSET', KEYS[1], 'st', 'a', 'h', ARGV[2], 'n', 0, 'p', -1, 'cf', 0, 'ra', 0,
  'ca', stamp, 'ea', ends, 'id', idle, 'lu', now, 'at', auth_time)
for i = 8, #ARGV, 2 do
  if ARGV[i + 1] ~= '' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('PEXPIREAT', KEYS[1], dies)
redis.call('ZADD', KEYS[2], dies, ARGV[1])
redis.call('HSET', KEYS[3], 'last', math.max(stamp, number(user[3])), 'gr', ARGV[7])
keep(KEYS[2], ends + 60000)
keep(KEYS[3], ends + 60000)
return {'created', stamp, ends, dies, auth_time, user[4] or ARGV[7], evicted}

-- Raise the cut-off of a client, a tenant or everyone, for refreshes that come long after the feed forgot it.
-- KEYS  cuts
-- ARGV  field, retention ms (no session lives longer, so an older cut-off has nothing left to end),
--       ms by which the clocks of other nodes may be ahead, before ms ('' = now): what was issued later stays
local all = redis.call('HGETALL', KEYS[1])
local cut = now + tonumber(ARGV[3])
if ARGV[4] ~= '' then cut = math.min(cut, tonumber(ARGV[4])) end
for i = 1, #all, 2 do
  if all[i] == ARGV[1] then cut = math.max(cut, number(all[i + 1]))
  elseif number(all[i + 1]) < now - tonumber(ARGV[2]) then redis.call('HDEL', KEYS[1], all[i]) end
end
redis.call('HSET', KEYS[1], ARGV[1], cut)
return cut

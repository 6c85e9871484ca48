-- A time of issue for a token without a session: later than every cut-off its client must be younger than.
-- KEYS  cuts
-- ARGV  wide cut-off ms, field...
local stamp = math.max(now, number(ARGV[1]) + 1)
for i = 2, #ARGV do stamp = math.max(stamp, number(redis.call('HGET', KEYS[1], ARGV[i])) + 1) end
return {stamp}

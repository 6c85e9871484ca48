-- Take tokens that gateways have let somebody take already. A bucket is the time (microseconds) at which it is full.
-- KEYS  buckets, of one slot
-- ARGV  two values a bucket, in microseconds: from now to when the sender thought it full before it took anything of
--       it (negative: in the past), and what was taken, as time to refill it
-- Returns the microseconds from now to when each is full.
local us = t[1] * 1000000 + t[2]
local full_in = {}
for i, key in ipairs(KEYS) do
  local full = math.max(number(redis.call('GET', key)), us + ARGV[2 * i - 1]) + ARGV[2 * i]
  full_in[i] = full - us
  -- A full bucket is the same as none.
  if full > us then redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - us) / 1000)) end
end
return full_in

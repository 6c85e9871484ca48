-- Use a step of a time-based code once: later than the last one, or not at all (RFC 6238 section 5.2).
-- KEYS  last step
-- ARGV  step, seconds to remember it
if tonumber(redis.call('GET', KEYS[1]) or '-1') >= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1

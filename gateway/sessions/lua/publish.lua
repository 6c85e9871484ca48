-- Append entries to the revocation feed, and let go of what is older than any token can be.
-- KEYS  stream, meta
-- ARGV  retention ms, then seven values an entry: kind, value, expires ms ('' = after the retention), cut-off ms,
--       reason, actor, origin
-- The retention is a high-water mark: another replica may still issue tokens that live longer than ours.
local known = number(redis.call('HGET', KEYS[2], 'h'))
local retention = math.max(tonumber(ARGV[1]), known)
if retention > known then redis.call('HSET', KEYS[2], 'h', retention) end
for i = 2, #ARGV, 7 do
  local expires = ARGV[i + 2]
  if expires == '' then expires = now + retention end
  redis.call('XADD', KEYS[1], 'MINID', '~', now - retention, '*', 'k', ARGV[i], 'v', ARGV[i + 1], 'x', expires,
    'c', ARGV[i + 3], 'r', ARGV[i + 4], 'a', ARGV[i + 5], 'o', ARGV[i + 6])
end
redis.call('PEXPIRE', KEYS[1], 2 * retention)
return {now, redis.call('HEXISTS', KEYS[2], 'epoch')}
